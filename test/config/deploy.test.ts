import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import t from 'tap'
import { isMap, isScalar, parseDocument } from 'yaml'
import { schemaFor } from '../../gateway/config/schema.ts'
import { loadConfig } from '../../gateway/config.ts'

const directory = resolve(import.meta.dirname, '../../deploy')
const example = resolve(directory, 'portolan.yaml')

t.test('the example is a configuration', async (t) => {
  const config = await loadConfig(example)
  t.equal(config.listen.length, 5)
  t.equal(config.mounts[1]?.enforce, 'native')
  t.equal(config.issuers[1]?.groups?.claim, 'groups')
})

t.test('the example shows every key of the top level, of limits and of a mount', async (t) => {
  const document = parseDocument(readFileSync(example, 'utf8'))
  const keysAt = (path: readonly (string | number)[]) => {
    const node = path.length === 0 ? document.contents : document.getIn(path, true)
    return isMap(node) ? node.items.map(({ key }) => (isScalar(key) ? String(key.value) : '')) : []
  }
  t.same(new Set(keysAt([])), new Set(Object.keys(schemaFor('/').shape)))
  const config = await loadConfig(example)
  t.same(new Set(keysAt(['limits'])), new Set(Object.keys(config.limits)))
  const [mount] = config.mounts
  t.same(new Set(keysAt(['mounts', 0])), new Set(Object.keys(mount ?? {})))
  t.same(new Set(keysAt(['mounts', 0, 'backend'])), new Set(Object.keys(mount?.backend ?? {})))
})

t.test('the values that the example calls defaults are the defaults', async (t) => {
  const { limits } = await loadConfig(example)
  t.same(limits, {
    connectionsPerPrincipal: 256,
    inFlightPerPrincipal: 128,
    stagedBytesPerPrincipal: 2 ** 40,
    maxUpload: 5 * 2 ** 40,
    explainPerMinute: 120,
    mountsPerPrincipal: 256,
    openFilesPerMount: 4096,
    openFiles: 8192,
    inFlight: 1024,
    headersTimeout: 15_000,
    idleTimeout: 60_000,
    stallTimeout: 60_000,
    shutdownTimeout: 30_000,
  })
})

t.test('the unit gives two capabilities and no more', async (t) => {
  const unit = readFileSync(resolve(directory, 'portolan.service'), 'utf8')
  const settingOf = (key: string) => unit.match(new RegExp(`^${key}=(.*)$`, 'm'))?.[1]
  t.equal(settingOf('AmbientCapabilities'), 'CAP_SETUID CAP_SETGID')
  t.equal(settingOf('CapabilityBoundingSet'), 'CAP_SETUID CAP_SETGID')
  t.equal(settingOf('NoNewPrivileges'), 'yes')
  t.equal(settingOf('ExecReload'), '/bin/kill -HUP $MAINPID')
})
