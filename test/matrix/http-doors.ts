/** WebDAV and the REST interface, as doors of the matrix. */

import { type Attempt, type Cell, type Expressed, isClosed, type MatrixDoor } from './doors.ts'
import { type MatrixAction, matrixActions } from './oracle.ts'
import type { Request, Said, Talk } from './talk.ts'

const update = (xml: string) =>
  `<propertyupdate xmlns="DAV:" xmlns:a="http://apache.org/dav/props/"><set><prop>${xml}</prop></set></propertyupdate>`
const time = update('<getlastmodified>Wed, 01 Jan 2020 00:00:00 GMT</getlastmodified>')
/** The dead property that every file of the matrix has. */
export const deadProperty = { key: 'dav:{urn:x}color', xml: '<color xmlns="urn:x">green</color>' }
const ofNfs = { not: 'an operation of NFS and FUSE' }

/** Everybody else's refusal is 403; a caller without a credential is asked for one. */
export function isAllowed({ identity }: Cell, { status, text }: Said, request: Request): boolean {
  const refused = identity.caller.user === undefined ? 401 : 403
  if (status === refused) return false
  if (status >= 200 && status < 300 && !refusedInside(text)) return true
  if (status === 207) return false
  throw new Error(`${identity.name} ${request.method} ${request.path} gave ${status}: ${text}`)
}

/** Of a 207 whose parts are all about one resource. */
function refusedInside(text: string): boolean {
  return /<D:multistatus/.test(text) && /<D:status>HTTP\/1\.1 40[13]/.test(text)
}

type Ask = (cell: Cell) => Request

function asking(talk: Talk, ask: Ask, isYes = isAllowed) {
  return async (cell: Cell): Promise<boolean> => {
    const { http } = cell.identity
    const asked = ask(cell)
    const request = { ...asked, headers: { ...asked.headers, ...('is' in http && http.is) } }
    return isYes(cell, await talk.send(request), request)
  }
}

export function webdavDoor(talk: Talk): MatrixDoor {
  const over = (object: Attempt['object'], ask: Ask, more: Partial<Attempt> = {}): Attempt => ({
    object,
    run: asking(talk, ask),
    ...more,
  })
  const on =
    (method: string, headers: Request['headers'] = {}, body?: string): Ask =>
    ({ path }) => ({ method, path, headers, body })
  const moving =
    (method: 'MOVE', isAway: boolean): Ask =>
    ({ path, free }) => ({ method, path: isAway ? path : free, headers: { Destination: isAway ? free : path } })
  const showsColor = asking(
    talk,
    on('PROPFIND', { Depth: '0' }, '<propfind xmlns="DAV:"><prop><color xmlns="urn:x"/></prop></propfind>'),
    (cell, said, request) => isAllowed(cell, said, request) && said.text.includes('green'),
  )
  return {
    name: 'webdav',
    closedTo: ({ http }) => isClosed(http),
    attempts: {
      stat: over('file', on('PROPFIND', { Depth: '0' })),
      list: over('directory', ({ path }) => ({ method: 'GET', path: `${path}/` })),
      read: over('file', on('GET')),
      create: over('nothing', on('PUT', {}, 'new')),
      replace: over('file', on('PUT', {}, 'newer')),
      edit: ofNfs,
      mkdir: over('nothing', on('MKCOL')),
      remove: over('file', on('DELETE')),
      'move-away': over('file', moving('MOVE', true), { beside: 'move-in-file' }),
      'move-in-file': over('nothing', moving('MOVE', false), { source: 'file', beside: 'move-away' }),
      'move-in-directory': over('nothing', moving('MOVE', false), { source: 'directory', beside: 'move-away' }),
      'set-times-now': ofNfs,
      'set-attributes': over('file', on('PROPPATCH', {}, time)),
      // The mode that is there is looked at first, since one bit of it is changed.
      'set-mode': over('file', on('PROPPATCH', {}, update('<a:executable>T</a:executable>')), {
        takes: ['stat', 'set-mode'],
      }),
      'set-owner': ofNfs,
      'read-properties': { object: 'file', takes: ['stat', 'read-properties'], run: showsColor },
      'write-properties': over('file', on('PROPPATCH', {}, update('<x xmlns="urn:y">1</x>'))),
      'read-acl': { not: 'ACLs are read by REST' },
      'write-acl': { not: 'ACLs are set by REST' },
      stage: { not: 'tapes are asked by REST' },
      locality: { not: 'tapes are asked by REST' },
    },
    others: [
      {
        name: 'copy',
        action: 'read',
        attempt: over('file', ({ path, free }) => ({ method: 'COPY', path, headers: { Destination: free } }), {
          beside: 'create',
        }),
      },
      { name: 'members', action: 'list', attempt: over('directory', on('PROPFIND', { Depth: '1' })) },
      { name: 'head', action: 'read', attempt: over('file', on('HEAD')) },
    ],
  }
}

const api = '/.portolan/api/v1'
const query = (path: string, more: Readonly<Record<string, string>> = {}) => new URLSearchParams({ path, ...more })
const json = { 'Content-Type': 'application/json' }

export function restDoor(talk: Talk): MatrixDoor {
  const byWebdav = { not: 'files are for WebDAV' }
  // POSIX can say it too.
  const acl = 'A::OWNER@:rwatTcCy\nA::GROUP@:rtcy\nA::EVERYONE@:rtcy\n'
  const one = (path: string) => JSON.stringify({ paths: [path] })
  return {
    name: 'rest',
    closedTo: ({ http }) => isClosed(http),
    attempts: {
      stat: byWebdav,
      list: byWebdav,
      read: byWebdav,
      create: byWebdav,
      replace: byWebdav,
      edit: ofNfs,
      mkdir: byWebdav,
      remove: byWebdav,
      'move-away': byWebdav,
      'move-in-file': byWebdav,
      'move-in-directory': byWebdav,
      'set-times-now': ofNfs,
      'set-attributes': byWebdav,
      'set-mode': byWebdav,
      'set-owner': ofNfs,
      'read-properties': byWebdav,
      'write-properties': byWebdav,
      'read-acl': {
        object: 'file',
        run: asking(talk, ({ path }) => ({ method: 'GET', path: `${api}/acl?${query(path)}` })),
      },
      'write-acl': {
        object: 'file',
        // What letters mean depends on what they are for, which is looked at first.
        takes: ['stat', 'write-acl'],
        run: asking(talk, ({ path }) => ({
          method: 'PUT',
          path: `${api}/acl?${query(path)}`,
          headers: { 'Content-Type': 'text/plain' },
          body: acl,
        })),
      },
      stage: { not: 'asked for, it is decided later and for each file apart' },
      locality: {
        object: 'file',
        run: asking(
          talk,
          ({ path }) => ({ method: 'POST', path: `${api}/tape/archiveinfo`, headers: json, body: one(path) }),
          (cell, said, request) => {
            if (said.status !== 200) return isAllowed(cell, said, request)
            const [answer] = JSON.parse(said.text)
            return answer.error === undefined
          },
        ),
      },
    },
  }
}

/** What the gateway says when it is asked whether it would: for every action. */
export function explainDoor(talk: Talk): MatrixDoor {
  const attempt = (action: MatrixAction): Attempt => ({
    object: objectOf(action),
    run: asking(
      talk,
      ({ path }) => ({ method: 'GET', path: `${api}/explain?${query(path, { action })}` }),
      (cell, said, request) => {
        if (said.status !== 200) throw new Error(`${cell.identity.name} ${request.path} gave ${said.status}`)
        return JSON.parse(said.text).allowed === true
      },
    ),
  })
  const attempts = Object.fromEntries(matrixActions.map((action) => [action, attempt(action)]))
  return {
    name: 'explain',
    changesNothing: true,
    closedTo: ({ caller, http }) =>
      caller.user === undefined ? 'nothing is looked up for whoever brings no credential' : isClosed(http),
    attempts: attempts as Record<MatrixAction, Expressed>,
  }
}

/** The list of what a caller may do with what is there. */
export function rightsDoor(talk: Talk): MatrixDoor {
  // One answer tells of all actions.
  const told = new Map<string, Promise<readonly string[]>>()
  const ask = (cell: Cell): Promise<readonly string[]> => {
    const key = `${cell.identity.name} ${cell.path}`
    const known = told.get(key) ?? listed(cell)
    told.set(key, known)
    return known
  }
  const listed = async (cell: Cell): Promise<readonly string[]> => {
    const { http } = cell.identity
    const request = { method: 'GET', path: `${api}/rights?${query(cell.path)}`, headers: 'is' in http ? http.is : {} }
    const said = await talk.send(request)
    return isAllowed(cell, said, request) ? JSON.parse(said.text).actions : []
  }
  const attempt = (action: MatrixAction): Expressed => {
    if (objectOf(action) === 'nothing') return { not: 'tells what may be done with what is there' }
    return {
      object: objectOf(action),
      takes: ['stat', action],
      run: async (cell) => (await ask(cell)).includes(action),
    }
  }
  const attempts = Object.fromEntries(matrixActions.map((action) => [action, attempt(action)]))
  return {
    name: 'rights',
    changesNothing: true,
    closedTo: ({ http }) => isClosed(http),
    attempts: attempts as Record<MatrixAction, Expressed>,
  }
}

function objectOf(action: MatrixAction): Attempt['object'] {
  if (action === 'list') return 'directory'
  return ['create', 'mkdir', 'move-in-file', 'move-in-directory'].includes(action) ? 'nothing' : 'file'
}
