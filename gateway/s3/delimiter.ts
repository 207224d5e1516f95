/** Keys rolled up to what they have in common (Amazon S3 User Guide, "Organizing objects using prefixes"). */

/** Tells of a key that begins with `prefix` what it is rolled up to: all up to the first delimiter behind that. */
export function foldBy(prefix: string, delimiter: string): (key: string) => string | undefined {
  return (key) => {
    if (!key.startsWith(prefix)) return undefined
    const at = key.indexOf(delimiter, prefix.length)
    return at < 0 ? undefined : key.slice(0, at + delimiter.length)
  }
}
