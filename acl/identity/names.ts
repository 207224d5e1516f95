/** The grammars of account and group names: strict, since they become arguments of programs and names in ACLs. */

/** Account names, also those made from claims. They never begin with a digit, so none reads as a number. */
export const accountName = /^[a-z_][a-z0-9_.-]{0,31}$/

/** Names of local groups, as configured. */
export const groupName = /^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/

/** Accounts that nobody may be, whatever a source or a rule says: file servers give these names a meaning of their own. */
export const reservedAccounts: ReadonlySet<string> = new Set(['root', 'nobody', 'nfsnobody', 'anonymous'])
