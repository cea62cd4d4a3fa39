import { generateKeyPairSync, type KeyObject, sign, X509Certificate } from 'node:crypto'
import { concatBytes, hexToBytes } from '@noble/hashes/utils.js'
import { AsnConvert, OctetString } from '@peculiar/asn1-schema'
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  BasicConstraints,
  Certificate,
  CertificateList,
  CRLNumber,
  Extension,
  Extensions,
  id_ce_basicConstraints,
  id_ce_cRLNumber,
  id_ce_keyUsage,
  KeyUsage,
  KeyUsageFlags,
  Name,
  RelativeDistinguishedName,
  RevokedCertificate,
  SubjectPublicKeyInfo,
  TBSCertificate,
  TBSCertList,
  Time,
  Validity,
  Version,
} from '@peculiar/asn1-x509'

const ECDSA_WITH_SHA256 = new AlgorithmIdentifier({ algorithm: '1.2.840.10045.4.3.2' })

/** A key with a certificate. */
export interface MintedCertificate {
  readonly commonName: string
  readonly key: KeyObject
  /** DER. */
  readonly der: Uint8Array
  readonly pem: string
  readonly serial: number
}

export interface CertificateOrder {
  readonly commonName: string
  /** Signs itself without one. */
  readonly issuer?: MintedCertificate | undefined
  readonly isCa: boolean
  readonly serial: number
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** Value of Intel's SGX extension. */
  readonly sgxExtension?: Uint8Array
}

export function mintCertificate(order: CertificateOrder): MintedCertificate {
  const { commonName, issuer, serial } = order
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const usage = order.isCa ? KeyUsageFlags.keyCertSign + KeyUsageFlags.cRLSign : KeyUsageFlags.digitalSignature
  const extensions = [
    extension(id_ce_basicConstraints, serialize(new BasicConstraints({ cA: order.isCa }))),
    extension(id_ce_keyUsage, serialize(new KeyUsage(usage))),
  ]
  if (order.sgxExtension !== undefined) extensions.push(extension('1.2.840.113741.1.13.1', order.sgxExtension))
  const tbsCertificate = new TBSCertificate({
    version: Version.v3,
    serialNumber: serialOf(serial),
    signature: ECDSA_WITH_SHA256,
    issuer: nameOf(issuer?.commonName ?? commonName),
    subject: nameOf(commonName),
    validity: new Validity({ notBefore: new Date(order.notBeforeMs), notAfter: new Date(order.notAfterMs) }),
    subjectPublicKeyInfo: AsnConvert.parse(publicKey.export({ type: 'spki', format: 'der' }), SubjectPublicKeyInfo),
    extensions: new Extensions(extensions),
  })
  const signatureValue = signatureOver(issuer?.key ?? privateKey, serialize(tbsCertificate))
  const der = serialize(new Certificate({ tbsCertificate, signatureAlgorithm: ECDSA_WITH_SHA256, signatureValue }))
  return { commonName, key: privateKey, der, pem: new X509Certificate(der).toString(), serial }
}

/** @returns DER */
export function mintCrl(
  issuer: MintedCertificate,
  revokedSerials: readonly number[],
  window: { readonly thisUpdateMs: number; readonly nextUpdateMs: number; readonly number?: number | undefined },
): Uint8Array {
  const thisUpdate = new Date(window.thisUpdateMs)
  const tbsCertList = new TBSCertList({
    version: Version.v2,
    signature: ECDSA_WITH_SHA256,
    issuer: nameOf(issuer.commonName),
    thisUpdate: new Time(thisUpdate),
    nextUpdate: new Time(new Date(window.nextUpdateMs)),
    ...(revokedSerials.length > 0 && {
      revokedCertificates: revokedSerials.map(
        (serial) => new RevokedCertificate({ userCertificate: serialOf(serial), revocationDate: new Time(thisUpdate) }),
      ),
    }),
    ...(window.number !== undefined && {
      crlExtensions: new Extensions([extension(id_ce_cRLNumber, serialize(new CRLNumber(window.number)))]),
    }),
  })
  const signature = signatureOver(issuer.key, serialize(tbsCertList))
  return serialize(new CertificateList({ tbsCertList, signatureAlgorithm: ECDSA_WITH_SHA256, signature }))
}

const serialize = (value: object): Uint8Array => new Uint8Array(AsnConvert.serialize(value))
const extension = (extnID: string, value: Uint8Array): Extension =>
  new Extension({
    extnID,
    critical: extnID.startsWith('2.5.'),
    extnValue: new OctetString(Uint8Array.from(value).buffer),
  })
const serialOf = (serial: number): ArrayBuffer => Uint8Array.of(0x40, serial >> 8, serial & 0xff).buffer
const signatureOver = (key: KeyObject, bytes: Uint8Array): ArrayBuffer =>
  Uint8Array.from(sign('sha256', bytes, key)).buffer
const nameOf = (commonName: string): Name =>
  new Name([
    new RelativeDistinguishedName([
      new AttributeTypeAndValue({ type: '2.5.4.3', value: new AttributeValue({ utf8String: commonName }) }),
    ]),
  ])

const der = (tag: number, ...parts: readonly Uint8Array[]): Uint8Array => {
  const body = concatBytes(...parts)
  const length = body.length < 128 ? [body.length] : [0x82, body.length >> 8, body.length & 0xff]
  return concatBytes(Uint8Array.of(tag, ...length), body)
}
/** Intel's arc 1.2.840.113741.1.13.1 and what comes under it. */
const sgxOid = (...under: readonly number[]): Uint8Array =>
  der(0x06, hexToBytes('2a864886f84d010d01'), Uint8Array.from(under))
const entry = (oid: Uint8Array, value: Uint8Array): Uint8Array => der(0x30, oid, value)

/** Value of the extension 1.2.840.113741.1.13.1 of a PCK certificate ("Intel SGX PCK Certificate and CRL Profile Specification", 1.3.5). */
export function sgxExtension(facts: {
  readonly fmspc: Uint8Array
  /** 16 bytes. */
  readonly cpuSvn: Uint8Array
  /** Below 128. */
  readonly pceSvn: number
  readonly pceId: Uint8Array
}): Uint8Array {
  const components = [...facts.cpuSvn].map((svn, at) => entry(sgxOid(2, at + 1), der(0x02, Uint8Array.of(svn))))
  const tcb = der(
    0x30,
    ...components,
    entry(sgxOid(2, 17), der(0x02, Uint8Array.of(facts.pceSvn))),
    entry(sgxOid(2, 18), der(0x04, facts.cpuSvn)),
  )
  return der(
    0x30,
    entry(sgxOid(1), der(0x04, new Uint8Array(16))),
    entry(sgxOid(2), tcb),
    entry(sgxOid(3), der(0x04, facts.pceId)),
    entry(sgxOid(4), der(0x04, facts.fmspc)),
    entry(sgxOid(5), der(0x0a, Uint8Array.of(0))),
  )
}
