/** Names libgpfs.ts as a module with the library it shall load, without loading either. */

/** Where the loader looks for it when no place is configured. */
export const defaultLibrary = 'libgpfs.so'

/** Member of the query that holds the library. */
export const libraryKey = 'library'

/** The URL of the module whose `createAclSource` uses `library`: a path, or a name for the loader. */
export function libgpfsModule(library: string = defaultLibrary): URL {
  const name = import.meta.url.endsWith('.ts') ? './libgpfs.ts' : './libgpfs.js'
  const url = new URL(name, import.meta.url)
  url.searchParams.set(libraryKey, library)
  return url
}
