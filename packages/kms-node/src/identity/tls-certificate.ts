import { createHash, generateKeyPair, randomBytes, sign, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { promisify } from 'node:util'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { AsnConvert, OctetString } from '@peculiar/asn1-schema'
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  Extension,
  Extensions,
  GeneralName,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  id_kp_serverAuth,
  KeyUsage,
  KeyUsageFlags,
  Name,
  RelativeDistinguishedName,
  SubjectAlternativeName,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version,
} from '@peculiar/asn1-x509'
import { decodeAll, KmsError, Secret, u8, varBytes } from '@tkms/dkg'

/** OIDs: X.520 commonName, RFC 5758 ecdsa-with-SHA256. */
const COMMON_NAME = '2.5.4.3'
const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2'
const LIFETIME_YEARS = 10
const CLOCK_LEEWAY_MS = 3_600_000
const MAX_PEM_BYTES = 64 * 1024

/** The key and certificate of the HTTPS server. Self-signed: clients pin the key (SPKI hash) that the cluster file names. */
export interface TlsIdentity {
  /** PKCS#8 PEM. */
  readonly key: Secret
  /** PEM. */
  readonly cert: string
}

/**
 * A new P-256 key, whose signatures cost the server of a handshake little, and a self-signed certificate for it (RFC 5280).
 * @param hosts names and IP addresses of the server, for clients that compare them
 * @param serial 16 random bytes
 */
export async function createTlsIdentity(
  name: string,
  hosts: readonly string[],
  nowMs: number,
  serial: Uint8Array = randomBytes(16),
): Promise<TlsIdentity> {
  const { publicKey, privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' })
  const commonName = new RelativeDistinguishedName([
    new AttributeTypeAndValue({ type: COMMON_NAME, value: new AttributeValue({ utf8String: name }) }),
  ])
  const signature = new AlgorithmIdentifier({ algorithm: ECDSA_WITH_SHA256 })
  const notAfter = new Date(nowMs)
  notAfter.setUTCFullYear(notAfter.getUTCFullYear() + LIFETIME_YEARS)
  const body = new TBSCertificate({
    version: Version.v3,
    serialNumber: serialNumber(serial),
    signature,
    issuer: new Name([commonName]),
    subject: new Name([commonName]),
    validity: new Validity({ notBefore: new Date(nowMs - CLOCK_LEEWAY_MS), notAfter }),
    subjectPublicKeyInfo: AsnConvert.parse(publicKey.export({ type: 'spki', format: 'der' }), SubjectPublicKeyInfo),
    extensions: new Extensions([
      extension(id_ce_basicConstraints, true, new BasicConstraints({ cA: false })),
      extension(id_ce_keyUsage, true, new KeyUsage(KeyUsageFlags.digitalSignature)),
      extension(id_ce_extKeyUsage, false, new ExtendedKeyUsage([id_kp_serverAuth])),
      extension(id_ce_subjectAltName, false, new SubjectAlternativeName(hosts.map(altName))),
    ]),
  })
  const signed = sign('sha256', new Uint8Array(AsnConvert.serialize(body)), privateKey)
  const certificate = new Certificate({
    tbsCertificate: body,
    signatureAlgorithm: signature,
    signatureValue: Uint8Array.from(signed).buffer,
  })
  return {
    key: new Secret(utf8ToBytes(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())),
    cert: new X509Certificate(new Uint8Array(AsnConvert.serialize(certificate))).toString(),
  }
}

const extension = (extnID: string, critical: boolean, value: object): Extension =>
  new Extension({ extnID, critical, extnValue: new OctetString(AsnConvert.serialize(value)) })

/** Positive and in the fewest bytes, as DER wants an INTEGER (X.690 8.3.2, RFC 5280 4.1.2.2): its first byte lies in 0x40..0x7f. */
function serialNumber([first = 0, ...rest]: Uint8Array): ArrayBuffer {
  return Uint8Array.of((first & 0x3f) | 0x40, ...rest).buffer
}

const altName = (host: string): GeneralName =>
  new GeneralName(isIP(host) === 0 ? { dNSName: host } : { iPAddress: host })

/** SHA-256 of the certificate's public key (SPKI DER), 32 bytes: what clients pin. */
export function spkiSha256(cert: string): Uint8Array {
  const spki = new X509Certificate(cert).publicKey.export({ type: 'spki', format: 'der' })
  return Uint8Array.from(createHash('sha256').update(spki).digest())
}

/** u8 1 || var key PEM || var certificate PEM, for the sealed store. */
export const encodeTlsIdentity = ({ key, cert }: TlsIdentity): Secret =>
  key.use((pem) => new Secret(concatBytes(u8(1), varBytes(pem), varBytes(utf8ToBytes(cert)))))

/** @throws KmsError `bad-encoding` */
export function decodeTlsIdentity(record: Secret): TlsIdentity {
  return record.use((bytes) =>
    decodeAll(bytes, 'tls', (reader) => {
      if (reader.u8('tls.version') !== 1) throw new KmsError('bad-encoding', 'a TLS record has an unknown version')
      const key = new Secret(reader.var(MAX_PEM_BYTES, 'tls.key'))
      return { key, cert: new TextDecoder().decode(reader.var(MAX_PEM_BYTES, 'tls.cert')) }
    }),
  )
}
