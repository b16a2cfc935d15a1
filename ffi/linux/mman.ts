// <sys/mman.h>
export const MCL_CURRENT = 1;
export const MCL_FUTURE = 2;
/** Pages are locked when they are first used; without it all pages of every mapping are made at once. Linux 4.4. */
export const MCL_ONFAULT = 4;
