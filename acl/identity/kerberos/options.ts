/** What the configuration says about Kerberos on HTTP. */

export interface KerberosOptions {
  /** The file with the keys of `services`; read at every ticket, so that a new one counts at once. */
  readonly keytab: string
  /** The file that tells tickets that were seen before; all processes of a gateway share it. */
  readonly replays: string
  /** Names of ours that tickets may be for, as HTTP/gw.desy.de@DESY.DE. */
  readonly services: readonly string[]
  /** Ours: the rule `DEFAULT` is about its principals. */
  readonly realm: string
  /** Further realms whose principals are let in, as far as rules know them. */
  readonly realms: readonly string[]
  /** Goes before the rules. */
  readonly names: ReadonlyArray<{ readonly principal: string; readonly account: string }>
  /** As auth_to_local of krb5.conf; the first that is about a principal counts. */
  readonly rules: readonly string[]
  /** Seconds for which a cookie stands for a ticket; none are given out if 0, or where no keys could seal them. */
  readonly cookieLifetime: number
}
