/** What programs are handed by who signed in with a ticket: the rules of Kerberos names say at every use whose it is. */

import t from 'tap'
import { standFor, termsFor } from '../../acl/identity/derived.ts'
import { LocalNames } from '../../acl/identity/kerberos/local-names.ts'
import { openState } from '../../acl/identity/state.ts'
import { makeSetting, refusal } from './setting.ts'

const kerberos = {
  ...{ keytab: '', replays: '', services: [], realm: 'DESY.DE', realms: ['AD.EXAMPLE'], cookieLifetime: 0 },
  rules: ['DEFAULT'],
}
const principal = 'alice.adm@AD.EXAMPLE'
const stateWith = (
  names: ReadonlyArray<{ readonly principal: string; readonly account: string }>,
  realms = ['AD.EXAMPLE'],
) => ({ names: new LocalNames({ ...kerberos, realms, names }) })

t.test('what was made with a ticket ends with the rule that its name came by', async (t) => {
  const { options } = await makeSetting(t)
  const plain = await openState(options)
  t.teardown(() => plain.accounts.close())
  const known = { ...plain, kerberos: stateWith([{ principal, account: 'alice' }]) }
  const user = 'alice@desy.de'
  const caller = { id: principal, user, groups: new Set(['p01@desy.de']), grants: 'unbounded' } as const
  const holder = { id: principal, user, tokenId: undefined }
  const source = { holder, signedIn: { kind: 'kerberos', name: principal } as const }
  const terms = await termsFor(caller, { networks: [] }, source, known)
  const kept = { id: 'x', principal, user, terms, expires: 4_000_000_000_000 }
  const whose = async (state: Parameters<typeof standFor>[3]) => {
    try {
      return (await standFor(kept, 'app-password', [], state)).principal.user
    } catch (error) {
      return refusal(error)
    }
  }
  t.equal(await whose(known), user)
  t.equal(
    await whose({ ...plain, kerberos: stateWith([{ principal, account: 'bob' }]) }),
    'unauthenticated app-password',
  )
  t.equal(await whose({ ...plain, kerberos: stateWith([]) }), 'denied mapping-none')
  t.equal(await whose(plain), 'unauthenticated kerberos-ticket', 'tickets are not accepted any more')
})
