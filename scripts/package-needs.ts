/** What the tests of packages use of Debian: new installations, a check of packages, a network of their own, a compiler. */
export const packageNeeds = [
  { package: "debootstrap", provides: "debootstrap" },
  { package: "lintian", provides: "lintian" },
  { package: "iproute2", provides: "ip" },
  { package: "gcc", provides: "gcc" },
] as const;
