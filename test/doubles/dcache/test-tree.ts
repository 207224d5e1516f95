/** The namespace for tests: adds, changes and looks at objects without asking for rights. */

import { parseAce } from './acl-text.ts'
import { bytesContent, type ChecksumKind, type Content, digestsOf, generatedContent } from './content.ts'
import { Failure } from './failure.ts'
import type { SeedOptions } from './options.ts'
import type { Site } from './site.ts'
import type { FileLocality } from './tape.ts'
import { type DirectoryNode, type FileNode, type Node, namesOf } from './tree.ts'

export class TestTree {
  readonly #site: Site

  constructor(site: Site) {
    this.#site = site
  }

  /** Adds an object with the directories above it, which belong to root and have mode 0755. */
  async add(seed: SeedOptions & { readonly bytes?: Uint8Array }): Promise<Node> {
    const { tree } = this.#site
    const names = namesOf(seed.path)
    const name = names.pop()
    let parent: DirectoryNode = tree.root
    for (const part of names) {
      const next: Node = parent.children.get(part) ?? tree.makeDirectory(parent, part, { owner: 0, group: 0 })
      if (next.type !== 'directory') throw new Error(`${part} is a file`)
      parent = next
    }
    if (name === undefined) return this.#dress(tree.root, seed)
    if (seed.directory) {
      const existing = parent.children.get(name)
      return this.#dress(existing ?? tree.makeDirectory(parent, name, { owner: 0, group: 0 }), seed)
    }
    const file = tree.makeFile(parent, name, { owner: 0, group: 0 })
    const content = contentOf(seed)
    if (!seed.unsummed) {
      const kinds: readonly ChecksumKind[] = seed.size === undefined ? ['adler32', 'md5'] : ['adler32']
      for (const [kind, sum] of await digestsOf(content, kinds)) file.checksums.set(kind, sum)
    }
    tree.close(file, content, this.#site.pools.choose())
    this.place(seed.path, seed.locality ?? 'ONLINE')
    return this.#dress(file, seed)
  }

  /** The object, or an error. */
  get(path: string): Node {
    const node = this.#site.tree.find(path)
    if (!node) throw new Failure('missing', path)
    return node
  }

  file(path: string): FileNode {
    const node = this.get(path)
    if (node.type !== 'file') throw new Failure('missing', path)
    return node
  }

  has(path: string): boolean {
    return this.#site.tree.find(path) !== undefined
  }

  async bytes(path: string): Promise<Buffer> {
    const { content } = this.file(path)
    if (!content) throw new Failure('missing', `${path} is being written`)
    return Buffer.concat(await content.read(0, content.size).toArray())
  }

  remove(path: string): void {
    this.#site.tree.remove(this.get(path))
  }

  move(from: string, to: string): void {
    const names = namesOf(to)
    const name = names.pop() ?? ''
    const parent = this.get(`/${names.join('/')}`)
    if (parent.type === 'directory') this.#site.tree.move(this.get(from), parent, name)
  }

  /** As `setfacl` of the admin interface; undefined takes the ACL away. */
  setAcl(path: string, acl: readonly string[] | undefined): void {
    const node = this.get(path)
    node.acl = acl?.map(parseAce)
    this.#site.tree.touch(node)
  }

  setMode(path: string, mode: number): void {
    const node = this.get(path)
    node.mode = mode
    this.#site.tree.touch(node)
  }

  /** Puts the bytes where the locality says. */
  place(path: string, locality: Exclude<FileLocality, 'NONE'>): void {
    const file = this.file(path)
    file.onTape = locality === 'NEARLINE' || locality === 'ONLINE_AND_NEARLINE'
    file.retention = file.onTape ? 'CUSTODIAL' : 'REPLICA'
    file.latency = file.onTape ? 'NEARLINE' : 'ONLINE'
    if (locality === 'NEARLINE' || locality === 'LOST') file.pool = undefined
    else file.pool = locality === 'UNAVAILABLE' ? 'pool-away' : this.#site.pools.choose()
  }

  locality(path: string): FileLocality {
    return this.#site.tape.locality(this.get(path))
  }

  isPinned(path: string): boolean {
    return this.#site.tape.isPinned(this.file(path))
  }

  /** A full pool drops the copy on disk; false if it is pinned or the only one. */
  evict(path: string): boolean {
    return this.#site.tape.evict(this.file(path))
  }

  #dress(node: Node, seed: SeedOptions): Node {
    const owner = this.#site.options.users?.find(({ name }) => name === seed.owner)
    node.owner = owner?.uid ?? node.owner
    node.group = seed.group ?? owner?.gids[0] ?? node.group
    node.mode = seed.mode ?? node.mode
    if (seed.acl) node.acl = seed.acl.map(parseAce)
    for (const [name, value] of Object.entries(seed.xattrs ?? {})) node.xattrs.set(name, value)
    for (const label of seed.labels ?? []) node.labels.add(label)
    return node
  }
}

function contentOf(seed: SeedOptions & { readonly bytes?: Uint8Array }): Content {
  if (seed.bytes) return bytesContent(seed.bytes)
  return seed.size === undefined ? bytesContent(Buffer.from(seed.text ?? '')) : generatedContent(seed.size)
}
