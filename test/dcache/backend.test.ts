import t, { type Test } from 'tap'
import { conformance, type Deviation } from '../backends/conformance.ts'
import { forwarding, keyHolder, startWorld, type WorldOptions } from './world.ts'

// Four times the whole suite.
t.setTimeout(240_000)

const byPath = 'dCache is asked by path: what is opened is found again under its name, or is stale'
const noTimes = 'dCache offers no way to set times'

/** What no gateway can make of dCache's doors. */
const always: readonly Deviation[] = [
  { test: 'an open file keeps its bytes when another takes its name', reason: byPath },
  { test: 'times can be set, and the modification time to the nanosecond', reason: noTimes },
  { test: 'a modification time that is given is kept to the nanosecond', reason: noTimes },
  {
    test: 'checksums are kept with the version they were made of',
    reason: 'dCache keeps those that it computes itself from the upload on, and takes no others',
  },
  {
    test: 'a parent that went away meanwhile gets no file',
    reason: 'no file appears, but the hidden upload moves with its directory, where its path is not known any more',
  },
]

const enforced: readonly Deviation[] = [
  ...always,
  {
    test: 'a walk sees each directory from the root down',
    reason: 'where dCache decides itself only the object is asked for',
  },
  {
    test: 'a walk to what is missing tells how far it came',
    reason: 'where dCache decides itself only the object and its parent are asked for',
  },
  { test: 'a path of many names works', reason: 'it counts the directories of a walk' },
]

const noModes = "modes are the frontend's alone"
const noIds = 'a directory has no id at the WebDAV door, so that one cannot be told from another of that name'

const withoutFrontend: readonly Deviation[] = [
  ...enforced,
  { test: 'replacing a file keeps its owner, group, mode and ACL', reason: noModes },
  { test: 'a new mode is a new change time and no new version', reason: noModes },
  { test: 'a file gets no set-user-id, set-group-id or sticky bit', reason: noModes },
  { test: 'a directory moves with all that it holds', reason: noIds },
  { test: 'a directory that took the place of the parent after the look is left alone', reason: noIds },
  { test: 'a directory that was swapped after the look is not listed for the other', reason: noIds },
]

function run(t: Test, name: string, options: WorldOptions, deviations: readonly Deviation[]): Promise<void> {
  return conformance(t, { name, start: () => startWorld(options), deviations })
}

t.test('with callers about whom dCache decides, by macaroons that hold no more than is needed', (t) =>
  run(t, 'dCache, delegated', { options: { events: true, delegation: { ...forwarding, send: 'macaroon' } } }, enforced),
)

t.test('with callers for whom the service stands in', (t) =>
  run(t, 'dCache, by service', { principals: [keyHolder], owner: 'gateway', options: { events: true } }, always),
)

t.test('with a WebDAV door alone', (t) => run(t, 'dCache, WebDAV alone', { withoutFrontend: true }, withoutFrontend))
