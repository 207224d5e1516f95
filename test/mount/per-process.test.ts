/** One mount for all users of a machine, each with the credential of his own processes (`--identity per-process`). */

import { chmodSync, chownSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type UserName, users } from '../gateway/people.ts'
import { as } from './as.ts'
import { mountGateway, startLab } from './mounted.ts'
import { closedWay } from './places.ts'

const skip = closedWay('root')
t.jobs = 3
const shared = ['--allow-other', '--identity', 'per-process']

async function start(t: Test) {
  const gateway = await startLab(t)
  const mount = await mountGateway(t, gateway, { options: shared })
  const files = mkdtempSync(join(tmpdir(), 'portolan-tokens-'))
  chmodSync(files, 0o755)
  t.teardown(() => rmSync(files, { recursive: true, force: true }))
  const tokens = {
    alice: await gateway.standingToken('alice'),
    bob: await gateway.standingToken('bob'),
  }
  /** A token file of a user. */
  const file = (name: string, user: UserName, token: string, mode = 0o600) => {
    const path = join(files, name)
    writeFileSync(`${path}.new`, token, { mode })
    chmodSync(`${path}.new`, mode)
    chownSync(`${path}.new`, users[user].uid, users[user].gid)
    renameSync(`${path}.new`, path)
    return path
  }
  return { gateway, mount, files, tokens, file, lab: join(mount.mountpoint, 'lab') }
}

t.test('each process acts with the credential that it brings', { skip, buffered: true }, async (t) => {
  const { lab, tokens, file, files, mount } = await start(t)
  const secret = join(lab, 'alice/secret')

  const none = await as('alice', {}, `cat ${lab}/alice/secret; ls ${lab}`)
  t.match(none.err, /Permission denied/, 'none: nothing')
  t.equal((await as('alice', {}, `stat -c %F ${mount.mountpoint}`)).out, 'directory\n', 'but the top is a directory')

  const wrote = await as('alice', { BEARER_TOKEN: tokens.alice }, `echo mine > ${secret}; cat ${secret}`)
  t.match(wrote, { code: 0, out: 'mine\n' })
  const seen = await as('alice', { BEARER_TOKEN: tokens.alice }, `stat -c '%u %g' ${secret}`)
  t.equal(seen.out, `${users.alice.uid} ${users.alice.gid}\n`, 'what is mine is shown as mine')

  const other = await as('bob', { BEARER_TOKEN: tokens.bob }, `cat ${secret}`)
  t.match(other, { code: 1, err: /Permission denied/ }, 'what the kernel knows by one user is not told to another')
  t.match(await as('bob', { BEARER_TOKEN: tokens.bob }, `echo x > ${lab}/bob/own && cat ${lab}/bob/own`), {
    out: 'x\n',
  })

  const bearer = file('alice.token', 'alice', tokens.alice)
  t.match(await as('alice', { BEARER_TOKEN_FILE: bearer }, `cat ${secret}`), { out: 'mine\n' })
  t.match(
    await as('bob', { BEARER_TOKEN_FILE: bearer }, `cat ${secret}`),
    { code: 1, err: /Permission denied/ },
    'a file is opened by whoever names it, not by the mount',
  )
  const open = file('open.token', 'alice', tokens.alice, 0o644)
  t.match(await as('alice', { BEARER_TOKEN_FILE: open }, `cat ${secret}`), { code: 1 }, 'a file open to others is none')
  symlinkSync(bearer, join(files, 'link'))
  t.match(await as('alice', { BEARER_TOKEN_FILE: join(files, 'link') }, `cat ${secret}`), { out: 'mine\n' })
  t.match(await as('alice', { BEARER_TOKEN_FILE: 'alice.token' }, `cd ${files}; cat ${secret}`), { code: 1 })
  t.match(
    await as('alice', { BEARER_TOKEN_FILE: `${secret}` }, `cat ${secret}`),
    { code: 1, err: /Permission denied/ },
    'a token in the mount itself is out of reach, and nothing hangs',
  )
  const words = mount.log()
  t.notOk(
    [tokens.alice, tokens.bob].some((token) => words.includes(token)),
    'no token is in the log',
  )
  t.equal(await mount.end(), 0)
})

t.test(
  'a program started in a process counts, and so does a new token in the same file',
  { skip, buffered: true },
  async (t) => {
    const { lab, tokens, file } = await start(t)
    const secret = `${lab}/alice/secret`
    await as('alice', { BEARER_TOKEN: tokens.alice }, `echo mine > ${secret}`)
    // The shell has no credential, and asks first; the program that takes its place in the same process has one.
    const replaced = await as(
      'alice',
      { T: tokens.alice },
      `cat < ${secret}; test -e ${secret} || echo nothing; BEARER_TOKEN=$T exec cat ${secret}`,
    )
    t.match(replaced, { out: 'nothing\nmine\n' })
    const dropped = await as(
      'alice',
      { BEARER_TOKEN: tokens.alice },
      `test -e ${secret} && echo there; exec env -i /bin/cat ${secret}`,
    )
    t.match(dropped, { code: 1, out: 'there\n' }, 'and one that has none has none')

    const path = file('token', 'alice', 'no-token-that-anybody-takes')
    t.match(await as('alice', { BEARER_TOKEN_FILE: path }, `cat ${secret}`), { code: 1 })
    file('token', 'alice', tokens.alice)
    const again = await as(
      'alice',
      { BEARER_TOKEN_FILE: path },
      `for i in 1 2 3 4 5 6 7 8 9 10; do cat ${secret} 2> /dev/null && exit 0; sleep 1; done; exit 1`,
    )
    t.match(again, { code: 0, out: 'mine\n' })
  },
)

t.test('many processes of two users at once see what is theirs', { skip, buffered: true }, async (t) => {
  const { lab, tokens } = await start(t)
  await as('alice', { BEARER_TOKEN: tokens.alice }, `echo a > ${lab}/alice/f`)
  await as('bob', { BEARER_TOKEN: tokens.bob }, `echo b > ${lab}/bob/f`)
  const script = `for i in 1 2 3 4 5; do cat ${lab}/alice/f ${lab}/bob/f; ls ${lab} > /dev/null; done 2> /dev/null; true`
  const ran = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      i % 2 === 0
        ? as('alice', { BEARER_TOKEN: tokens.alice }, script)
        : as('bob', { BEARER_TOKEN: tokens.bob }, script),
    ),
  )
  for (const [i, { out }] of ran.entries()) t.equal(out, (i % 2 === 0 ? 'a\n' : 'b\n').repeat(5))
})
