/** `?versions` of a file: what the storage keeps of earlier states, for a person. */

import { parentOf } from '../../core/path.ts'
import { isoDate } from '../../http/dates.ts'
import type { Exchange } from '../../http/exchange.ts'
import { headerOf } from '../../http/page-header.ts'
import { encodePath } from '../../http/target.ts'
import { versionsPage } from '../../web/versions-page.ts'
import { isForPeople, sendPage } from './answering.ts'
import { hrefOf } from './listing-page.ts'

/** A browser asks for the list of versions, and for none of them. */
export function asksForVersions(x: Exchange): boolean {
  return x.query !== '' && isForPeople(x) && new URLSearchParams(x.query).has('versions')
}

export async function sendVersions(x: Exchange): Promise<void> {
  x.action = 'stat'
  const found = await x.door.storage.versions(x.call, x.path)
  const versions = found.map(({ version, kept, entry }) => ({
    kept: isoDate(kept),
    modified: isoDate(entry.modified),
    size: entry.size,
    href: `${encodePath(x.path)}?version=${encodeURIComponent(version)}&download`,
  }))
  const page = versionsPage({ header: headerOf(x), path: x.path, directory: hrefOf(parentOf(x.path)), versions })
  await sendPage(x, 200, page)
}
