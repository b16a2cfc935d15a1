// What --print-capabilities says: vhost-user, "Backend program conventions".

/** The document for management software; `features` are the back-ends that can be chosen. */
export function capabilities(features: readonly string[]): string {
  return JSON.stringify({ type: "video", features });
}
