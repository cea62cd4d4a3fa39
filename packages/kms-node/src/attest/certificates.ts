import { verify, X509Certificate } from 'node:crypto'
import { AsnConvert } from '@peculiar/asn1-schema'
import { CertificateList } from '@peculiar/asn1-x509'
import { bytesKey, equalBytes } from '@tkms/dkg'
import { readable } from './readable.ts'
import { type AttestationRefusal, refusedQuote } from './verdict.ts'

const MAX_CERTIFICATES = 4
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g

/** A time in which something holds, Unix milliseconds. */
export interface Window {
  readonly fromMs: number
  readonly untilMs: number
}

/** The certificates of a PEM text, the first one first. @returns undefined unless they are 1 to 4 certificates */
export function parseChain(pem: string): readonly X509Certificate[] | undefined {
  const texts = pem.match(PEM_CERTIFICATE) ?? []
  if (texts.length === 0 || texts.length > MAX_CERTIFICATES) return undefined
  return readable(() => texts.map((text) => new X509Certificate(text)))
}

/** What `parseChain` has read, for another parser: nothing but these certificates, in order. */
export const pemOf = (chain: readonly X509Certificate[]): string => chain.map(String).join('')

/**
 * Whether each certificate was issued by the one behind it, all of these may issue, and the last is the root.
 * `@phala/dcap-qvl` does not ask whether an issuer may issue.
 * @param root DER
 */
export function isChainTo(root: Uint8Array, chain: readonly X509Certificate[]): boolean {
  return chain.every((certificate, at) => {
    const issuer = chain[at + 1]
    if (issuer === undefined) return equalBytes(certificate.raw, root)
    return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
  })
}

export const windowOf = ({ validFromDate, validToDate }: X509Certificate): Window => ({
  fromMs: validFromDate.getTime(),
  untilMs: validToDate.getTime(),
})

/** Of the subject, as it stands in the certificate. */
export const commonNameOf = ({ subject }: X509Certificate): string | undefined => /^CN=(.*)$/m.exec(subject)?.[1]

/** What an authority takes back. */
export interface RevocationList {
  readonly window: Window
  revokes(certificate: X509Certificate): boolean
}

/**
 * A revocation list that its issuer signed. `@phala/dcap-qvl` checks neither the signature nor the time of one, and skips those it cannot read.
 * @param der RFC 5280, 5
 */
export function openRevocationList(
  der: Uint8Array,
  issuer: X509Certificate,
  name: string,
): { readonly kind: 'opened'; readonly list: RevocationList } | AttestationRefusal {
  const parsed = readable(() => AsnConvert.parse(der, CertificateList))
  const signed = parsed?.tbsCertListRaw
  if (parsed === undefined || signed === undefined) return refusedQuote('signature', `the ${name} is not readable`)
  if (!verify('sha256', new Uint8Array(signed), issuer.publicKey, new Uint8Array(parsed.signature)))
    return refusedQuote('signature', `the ${name} is not signed by its issuer`)
  const { thisUpdate, revokedCertificates = [] } = parsed.tbsCertList
  const revoked = new Set(revokedCertificates.map(({ userCertificate }) => serialKey(new Uint8Array(userCertificate))))
  const window = { fromMs: thisUpdate.getTime().getTime(), untilMs: endOf(parsed) }
  return { kind: 'opened', list: { window, revokes: ({ serialNumber }) => revoked.has(hexKey(serialNumber)) } }
}

const endOf = ({ tbsCertList: { nextUpdate } }: CertificateList): number => nextUpdate?.getTime().getTime() ?? 0

/** Until when a list says that it holds, whoever signed it. Unix milliseconds; 0 where it is not readable. @param der RFC 5280, 5 */
export function listEnd(der: Uint8Array): number {
  const parsed = readable(() => AsnConvert.parse(der, CertificateList))
  return parsed === undefined ? 0 : endOf(parsed)
}

/** Serial numbers without leading zeros, in lower-case hex. */
const hexKey = (hex: string): string => hex.toLowerCase().replace(/^0+/, '')
const serialKey = (bytes: Uint8Array): string => hexKey(bytesKey(bytes))
