import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createDevelopmentIssuer } from '../../acl/identity/development-issuer.ts'
import { run } from './running.ts'
import { audience, configText, get, issuer } from './world.ts'

const needsRoot = process.geteuid?.() !== 0 && 'needs root, to start as root and make files of others'

t.test(
  'started as root it serves as another account, and the kernel decides as the caller',
  { skip: needsRoot },
  async (t) => {
    let token = ''
    const account = 4999
    const gateway = await run(t, async (directory) => {
      const tree = join(directory, 'trees/data')
      mkdirSync(tree, { recursive: true })
      for (const [name, owner] of [
        ['hers', 4001],
        ['his', 4002],
      ] as const) {
        writeFileSync(join(tree, name), name, { mode: 0o600 })
        chownSync(join(tree, name), owner, owner)
      }
      writeFileSync(join(directory, 'accounts.yaml'), 'users: { alice: { uid: 4001, gid: 4001 } }\n')
      const development = await createDevelopmentIssuer(join(directory, 'issuer'), issuer)
      token = await development.sign({ sub: 'alice', aud: audience })
      for (const name of ['', 'state', 'logs']) {
        mkdirSync(join(directory, name), { recursive: true })
        chownSync(join(directory, name), account, account)
      }
      return configText(directory, { workers: 1 })
        .replace('workers:', `runAs: { uid: ${account}, gid: ${account} }\nworkers:`)
        .replace('}, }', '} }')
        .replace('} }\n', '}, enforce: native }\n')
    })
    await gateway.ready()
    const status = readFileSync(`/proc/${gateway.process.pid}/status`, 'utf8')
    t.match(status, new RegExp(`^Uid:\\t${account}\\t`, 'm'))
    t.match(status, /^CapPrm:\t00000000000000c0$/m)
    const hers = await get(gateway, '/data/hers', token)
    t.equal(hers.status, 200)
    t.equal(await hers.text(), 'hers')
    t.equal((await get(gateway, '/data/his', token)).status, 403)
    gateway.signal('SIGTERM')
    t.equal(await gateway.ended, 0)
  },
)
