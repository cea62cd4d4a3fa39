import { verify, X509Certificate } from 'node:crypto'
import { AsnConvert } from '@peculiar/asn1-schema'
import { CertificateList, id_ce_cRLNumber } from '@peculiar/asn1-x509'
import { bytesKey, equalBytes } from '@tkms/dkg'
import { readable } from './readable.ts'
import { type AttestationRefusal, refusedQuote } from './verdict.ts'

const MAX_CERTIFICATES = 4
const MAX_NUMBER_BYTES = 20
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
  const { revokedCertificates = [] } = parsed.tbsCertList
  const revoked = new Set(revokedCertificates.map(({ userCertificate }) => serialKey(new Uint8Array(userCertificate))))
  return {
    kind: 'opened',
    list: { window: windowOfList(parsed), revokes: ({ serialNumber }) => revoked.has(hexKey(serialNumber)) },
  }
}

const endOf = ({ tbsCertList: { nextUpdate } }: CertificateList): number => nextUpdate?.getTime().getTime() ?? 0
const windowOfList = (list: CertificateList): Window => ({
  fromMs: list.tbsCertList.thisUpdate.getTime().getTime(),
  untilMs: endOf(list),
})

/** Which of its issuer's lists one is. */
export interface ListDates extends Window {
  /** Counts up from list to list, where the issuer counts. */
  readonly number: bigint | undefined
}

/** What a list says of itself, whoever signed it. @param der RFC 5280, 5 @returns undefined where it is not readable */
export function listDates(der: Uint8Array): ListDates | undefined {
  const list = readable(() => AsnConvert.parse(der, CertificateList))
  if (list === undefined) return undefined
  const number = list.tbsCertList.crlExtensions?.find(({ extnID }) => extnID === id_ce_cRLNumber)?.extnValue
  return { ...windowOfList(list), number: number && numberOf(new Uint8Array(number.buffer)) }
}

/** @param der an INTEGER of at most 20 bytes (RFC 5280, 5.2.3) */
function numberOf(der: Uint8Array): bigint | undefined {
  const bytes = der.subarray(2)
  const isInteger = der[0] === 2 && der[1] === bytes.length && bytes.length > 0 && bytes.length <= MAX_NUMBER_BYTES
  return isInteger && (bytes[0] ?? 0) < 0x80 ? BigInt(`0x${bytesKey(bytes)}`) : undefined
}

/** Serial numbers without leading zeros, in lower-case hex. */
const hexKey = (hex: string): string => hex.toLowerCase().replace(/^0+/, '')
const serialKey = (bytes: Uint8Array): string => hexKey(bytesKey(bytes))
