/** Bounds of everything that comes from outside, and the defaults of what may be configured. Times in seconds. */

/** Longest token in characters; checked before anything else looks at it. */
export const maxTokenLength = 16 * 1024
/** Longest `kid` of a token header, in characters. */
export const maxKeyIdLength = 255
/** Longest subject, group or other name taken from a claim, in characters. */
export const maxNameLength = 255
export const maxGroups = 500
/** Longest entitlement in characters, and the groups in it on the way to the one that is meant. */
export const maxEntitlementLength = 1024
export const maxGroupDepth = 16
/** Values of `eduperson_assurance`. */
export const maxAssurances = 100
export const maxScopes = 256
export const maxAudiences = 100

/** Largest discovery document, key set or key set file in bytes. */
export const maxKeySetBytes = 256 * 1024
/** Most keys of one issuer that are looked at. */
export const maxKeys = 100
/** Smallest and largest RSA modulus in bits; a larger one makes verifying a signature too dear. */
export const rsaBits = { least: 2048, most: 8192 } as const

export const defaultLeeway = 60
/** WLCG profile, section 4.3.1: an access token lives at most six hours. */
export const wlcgMaxLifetime = 6 * 3600
export const defaultMaxLifetime = 24 * 3600

/** Keys are fetched again after this time (WLCG profile, section 4.3.1: at most six hours). */
export const keyRefresh = 6 * 3600
/** Keys of an issuer that cannot be reached are trusted this long after their last good fetch. */
export const keyKeep = 48 * 3600
/** At most one fetch in this time because of an unknown `kid`, or after a failed one. */
export const keyRetry = 60
/** The same where there are no keys at all yet. */
export const keyFirstRetry = 10
/** A key set file is looked at again after this time. */
export const keyFileRefresh = 1
/** One fetch, redirects and all, takes at most this long. */
export const fetchDeadline = 5

/** A verified credential is believed this long, and never past its own end. */
export const cacheLifetime = 300
/** A refused token is refused again without a second look for this long. */
export const negativeLifetime = 30
export const accountLifetime = 300
export const accountNegativeLifetime = 30
/** One run of getent. */
export const accountDeadline = 5

/** 1 January 10000 as NumericDate: a time beyond it was written in milliseconds. */
export const latestDate = 253_402_300_800
