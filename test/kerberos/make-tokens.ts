/** Prints tokens of Negotiate for a service, one a line, with the ticket cache of the environment. For tests. */

import kerberos from 'kerberos'

const [service = '', count = '1', mechanism = 'spnego'] = process.argv.slice(2)
const mechOID = mechanism === 'bare' ? kerberos.GSS_MECH_OID_KRB5 : kerberos.GSS_MECH_OID_SPNEGO
for (let index = 0; index < Number(count); index++) {
  const client = await kerberos.initializeClient(service, { mechOID })
  console.log(await client.step(''))
}
