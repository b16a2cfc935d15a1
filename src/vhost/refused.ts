// What a front-end asked for and cannot have. It is acknowledged as a failure where that was asked for, said once in the log,
// and the connection goes on; a ProtocolError ends it.

export class Refused extends Error {
  override readonly name = "Refused";
}
