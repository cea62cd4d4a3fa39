/** What a foreign parser makes of bytes from outside; undefined where it throws, for its errors say nothing that a caller could tell apart. */
export function readable<T>(parse: () => T): T | undefined {
  try {
    return parse()
  } catch {
    return undefined
  }
}
