/** Taking the bytes of one upload, in a door or in a pool, and what becomes of the file when that fails. */

import { type ChecksumKind, Checksummer, type Content, checksumKinds, Receiver } from './content.ts'
import { Failure } from './failure.ts'
import type { Site } from './site.ts'
import type { FileNode } from './tree.ts'

export interface Upload {
  readonly file: FileNode
  /** To be computed beside ADLER32, which always is. */
  readonly kinds: readonly ChecksumKind[]
  /** Content-MD5 as sent (user guide, WebDAV, "Checksums"). */
  readonly md5: string | undefined
  /** Announced bytes. */
  readonly length: number | undefined
  readonly maxSize: number
}

/** Completes the file, or removes it from the namespace and throws. */
export async function receive(site: Site, upload: Upload, body: AsyncIterable<Buffer>): Promise<void> {
  const { file } = upload
  const receiver = new Receiver(site.keeping)
  try {
    const { content, sums } = await take(upload, receiver, body)
    for (const [kind, sum] of sums) file.checksums.set(kind, sum)
    if (site.tree.byId(file.pnfsId) !== file) throw new Failure('missing', 'The file was removed while it was written')
    site.tree.close(file, content, site.pools.choose())
  } catch (error) {
    await receiver.discard()
    abandon(site, file)
    throw error
  }
}

/** The upload will never come or has failed: the name goes. */
export function abandon(site: Site, file: FileNode): void {
  if (site.tree.byId(file.pnfsId) === file && !file.content) site.tree.remove(file)
}

async function take(
  upload: Upload,
  receiver: Receiver,
  body: AsyncIterable<Buffer>,
): Promise<{ readonly content: Content; readonly sums: Map<ChecksumKind, Buffer> }> {
  const { kinds, md5, length, maxSize } = upload
  const summer = new Checksummer(['adler32', ...kinds, ...(md5 === undefined ? [] : ['md5' as const])])
  for await (const chunk of body) {
    if (receiver.size + chunk.length > maxSize) throw new Failure('denied', 'Upload too large')
    summer.add(chunk)
    await receiver.write(chunk)
  }
  if (length !== undefined && receiver.size !== length) {
    throw new Failure('bad-request', 'Connection closed prematurely, entity smaller than expected.')
  }
  const sums = summer.finish()
  const actual = sums.get('md5')
  if (md5 !== undefined && actual && !actual.equals(Buffer.from(md5, 'base64'))) {
    const expected = Buffer.from(md5, 'base64').toString('hex')
    // 2 is MD5, as in the pool's own words.
    throw new Failure(
      'bad-request',
      `Checksum mismatch (expected=[2:${expected}], actual=[2:${actual.toString('hex')}])`,
    )
  }
  return { content: await receiver.finish(), sums }
}

/** Kinds of a Want-Digest header that are known here, the most wanted first (RFC 3230, section 4.3.1). */
export function wantedKinds(header: string | string[] | undefined): ChecksumKind[] {
  const wanted: { readonly kind: ChecksumKind; readonly quality: number }[] = []
  for (const part of String(header ?? '').split(',')) {
    const [name = '', parameter = ''] = part.trim().toLowerCase().split(';')
    const kind = checksumKinds.find((known) => known === name)
    const quality = Number(/q=([\d.]+)/.exec(parameter)?.[1] ?? 1)
    if (kind && quality > 0) wanted.push({ kind, quality })
  }
  return wanted.toSorted((a, b) => b.quality - a.quality).map(({ kind }) => kind)
}

/** In the form of RFC 3230 and RFC 5843: ADLER32 in hexadecimal, the others in base64. Empty if none is known. */
export function digestHeader(sums: ReadonlyMap<ChecksumKind, Buffer>, kinds: Iterable<ChecksumKind>): string {
  const known: string[] = []
  for (const kind of kinds) {
    const sum = sums.get(kind)
    if (sum) known.push(`${kind}=${sum.toString(kind === 'adler32' ? 'hex' : 'base64')}`)
  }
  return known.join(',')
}
