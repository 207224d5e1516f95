/** Extended attributes and ACLs through the file system. */

import t from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import { asking, mounted } from './asking.ts'

const errno = (message: string) => ({ message })

async function withFile(options = {}) {
  const mount = mounted(options)
  const file = mount.remote.put('/file', 'x')
  const { nodeid } = await mount.walk('/file')
  const get = async (name: string) => Buffer.from(await mount.system.getxattr(asking(nodeid), name)).toString()
  return { ...mount, file, nodeid, get, who: asking(nodeid) }
}

t.test('attributes of users are the storage’s', async (t) => {
  const { system, who, get, file } = await withFile()
  await t.rejects(get('user.comment'), errno('ENODATA'))
  await t.rejects(system.setxattr(who, 'user.comment', Buffer.from('a'), 2), errno('ENODATA'))
  await system.setxattr(who, 'user.comment', Buffer.from('a'), 1)
  await t.rejects(system.setxattr(who, 'user.comment', Buffer.from('b'), 1), { code: 'exists' })
  await system.setxattr(who, 'user.comment', Buffer.from('b'), 0)
  t.equal(await get('user.comment'), 'b')
  t.same([...file.xattrs.keys()], ['comment'])
  t.same(await system.listxattr(who), ['user.comment'])
  await system.removexattr(who, 'user.comment')
  await t.rejects(system.removexattr(who, 'user.comment'), errno('ENODATA'))
})

t.test('what every ls and write asks for is answered here', async (t) => {
  const { get, remote, system, who } = await withFile()
  await t.rejects(get('security.capability'), errno('EOPNOTSUPP'))
  await t.rejects(get('security.selinux'), errno('EOPNOTSUPP'))
  await t.rejects(get('system.posix_acl_access'), errno('EOPNOTSUPP'))
  await t.rejects(get('trusted.x'), errno('EOPNOTSUPP'))
  await t.rejects(system.setxattr(who, 'security.selinux', Buffer.from('x'), 0), errno('EOPNOTSUPP'))
  await t.rejects(system.removexattr(who, 'security.capability'), errno('ENODATA'))
  t.same([...remote.calls.keys()], ['stat'])
})

t.test('the ACL is read and written as the NFSv4 client has it', async (t) => {
  const { system, who, file } = await withFile()
  const value = Buffer.from(
    '00000001000000000000000000120081000000094556455259 4f4e4540000000'.replaceAll(' ', ''),
    'hex',
  )
  await system.setxattr(who, 'system.nfs4_acl', value, 0)
  t.match(file.acl, { owner: 'alice@desy.de', aces: [{ type: 'allow', mask: 0x120081, who: 'EVERYONE@' }] })
  t.same(Buffer.from(await system.getxattr(who, 'system.nfs4_acl')), value)
  await t.rejects(system.setxattr(who, 'system.nfs4_acl', value.subarray(0, 20), 0), { code: 'invalid' })
  t.notOk((await system.listxattr(who)).includes('system.nfs4_acl'), 'copies do not take it along')
})

t.test('what the gateway knows is told by names that nobody can write', async (t) => {
  const { system, who, get, file } = await withFile()
  file.checksums.set('adler32', '0badcafe')
  file.rights = 0x81
  t.equal(await get('user.portolan.checksum.adler32'), '0badcafe')
  await t.rejects(get('user.portolan.checksum.md5'), errno('ENODATA'))
  t.equal(await get('user.portolan.rights'), 'rt')
  t.equal(await get('user.portolan.explain'), 'you may read /file\n')
  await t.rejects(get('user.portolan.locality'), errno('ENODATA'))
  await t.rejects(get('user.portolan.else'), errno('ENODATA'))
  await t.rejects(system.setxattr(who, 'user.portolan.rights', Buffer.from('x'), 0), errno('EPERM'))
  await t.rejects(system.removexattr(who, 'user.portolan.rights'), errno('EPERM'))
  t.same(await system.listxattr(who), [])
})

t.test('looking at a file on tape asks for no stage', async (t) => {
  const { get, remote, file, system, who } = await withFile()
  file.locality = 'tape'
  remote.tell('/file', 'attributes')
  t.equal(await get('user.portolan.locality'), 'tape')
  await system.getattr(who, undefined)
  t.equal(remote.count('stage'), 0)
})

t.test('a storage without attributes has none to list', async (t) => {
  const { remote, system, who, get } = await withFile()
  remote.before = (operation) => {
    if (/Xattr/.test(operation)) throw new StorageError('unsupported', 'no attributes here')
  }
  t.same(await system.listxattr(who), [])
  await t.rejects(get('user.x'), { code: 'unsupported' })
})
