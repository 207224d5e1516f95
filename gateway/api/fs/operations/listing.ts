/** list: names with attributes, in pages. */

import type { Entry } from '../../../../backends/backend.ts'
import { join, type Path } from '../../../core/path.ts'
import { attributesOf } from '../attributes.ts'
import { whereOf } from '../context.ts'
import { largestPage } from '../limits.ts'
import type { Page, Told } from '../listings.ts'
import { at, type Doing, JsonText, type Operation } from './operation.ts'

export const list: Operation = {
  action: 'list',
  prepare(members, doing) {
    const path = at(doing, members.path())
    const cursor = members.optionalText('cursor')
    return async () => {
      const { listings } = doing.session
      if (cursor !== undefined) return textOf(await listings.next(cursor))
      // It goes on after this request.
      const call = doing.session.lasting(doing.x)
      doing.session.requireRoom()
      doing.session.looked.at(path)
      doing.session.looked.listing(path)
      const listed = await doing.context.storage.list(call, path)
      doing.session.looked.listed(path)
      return textOf(await listings.begin(pagesOf(doing, path, listed.pages())))
    }
  },
}

function textOf({ page, cursor }: Told): JsonText {
  return new JsonText(`{"entries":[${page.text}]${cursor === undefined ? '' : `,"cursor":"${cursor}"`}}`)
}

/** Entries of the first page; each further one has twice as many, so that the first comes soon and the others are few. */
const firstPage = 128

/** Pages of at most the size that is told to clients, of those that the storage has. */
async function* pagesOf(
  doing: Doing,
  directory: Path,
  pages: AsyncIterable<readonly Entry[]>,
): AsyncGenerator<Page, undefined> {
  let texts: string[] = []
  let size = firstPage
  for await (const page of pages) {
    for (const entry of page) {
      if (texts.length === size) {
        yield { text: texts.join(','), last: false }
        texts = []
        size = Math.min(size * 2, largestPage)
      }
      texts.push(textOfEntry(doing, directory, entry))
    }
  }
  yield { text: texts.join(','), last: true }
}

function textOfEntry(doing: Doing, directory: Path, entry: Entry): string {
  const { x } = doing
  const path = join(directory, entry.name)
  return JSON.stringify({ name: entry.name, ...attributesOf(entry, x.principal, whereOf(doing, path)) })
}
