// The files of the C library that this process runs on, as /proc/self/maps (proc_pid_maps(5)) names them.

/** Absolute paths of the C library's files. */
export interface CLibrary {
  readonly libc: string;
  /** The file that has dlopen, dlsym and dlerror. */
  readonly dl: string;
}

/**
 * glibc from 2.34 is one file, libc.so.6. Before that, libc.so.6 and libdl.so.2 are links to libc-2.31.so and
 * libdl-2.31.so, and the map shows the files. musl is one file.
 */
const libcFile =
  /\/\S*\/(?:libc(?:-2\.\d+\.so|\.so\.6)|ld-musl-\S+\.so\.1|libc\.musl-\S+\.so\.1)$/m;
const oldDlFile = /\/\S*\/libdl-2\.\d+\.so$/m;

/** Finds the files in the text of /proc/self/maps. Throws when it shows no C library. */
export function cLibraryIn(maps: string): CLibrary {
  const libc = libcFile.exec(maps)?.[0];
  if (libc === undefined) throw new Error("no C library in /proc/self/maps; mount /proc");
  return { libc, dl: oldDlFile.exec(maps)?.[0] ?? libc };
}
