import { createHash, generateKeyPair, randomBytes, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { promisify } from 'node:util'
import { bytesToHex, concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { decodeAll, KmsError, Secret, u8, varBytes } from '@tkms/dkg'
import forge from 'node-forge'

const RSA_BITS = 3072
const LIFETIME_YEARS = 10
const MAX_PEM_BYTES = 64 * 1024

/** The key and certificate of the HTTPS server. Self-signed: clients pin the key (SPKI hash) that the cluster file names. */
export interface TlsIdentity {
  /** PKCS#8 PEM. */
  readonly key: Secret
  /** PEM. */
  readonly cert: string
}

/**
 * A new RSA key and a self-signed certificate for it.
 * @param hosts names and IP addresses of the server, for clients that compare them
 * @param serial 16 random bytes
 */
export async function createTlsIdentity(
  name: string,
  hosts: readonly string[],
  nowMs: number,
  serial: Uint8Array = randomBytes(16),
): Promise<TlsIdentity> {
  const pair = await promisify(generateKeyPair)('rsa', {
    modulusLength: RSA_BITS,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  const certificate = forge.pki.createCertificate()
  certificate.publicKey = forge.pki.publicKeyFromPem(pair.publicKey)
  certificate.serialNumber = serialNumber(serial)
  certificate.validity.notBefore = new Date(nowMs - 3_600_000)
  certificate.validity.notAfter = new Date(nowMs)
  certificate.validity.notAfter.setUTCFullYear(certificate.validity.notAfter.getUTCFullYear() + LIFETIME_YEARS)
  const subject = [{ name: 'commonName', value: name }]
  certificate.setSubject(subject)
  certificate.setIssuer(subject)
  certificate.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, critical: true },
    { name: 'extKeyUsage', serverAuth: true },
    { name: 'subjectAltName', altNames: hosts.map(altName) },
  ])
  certificate.sign(forge.pki.privateKeyFromPem(pair.privateKey), forge.md.sha256.create())
  return { key: new Secret(utf8ToBytes(pair.privateKey)), cert: forge.pki.certificateToPem(certificate) }
}

/**
 * Positive and in the fewest bytes, as DER wants an INTEGER (X.690 8.3.2, RFC 5280 4.1.2.2): its first byte lies in 0x40..0x7f.
 * forge takes one zero byte off the front, not more.
 */
function serialNumber([first = 0, ...rest]: Uint8Array): string {
  return bytesToHex(Uint8Array.of((first & 0x3f) | 0x40, ...rest))
}

const altName = (host: string): object => (isIP(host) === 0 ? { type: 2, value: host } : { type: 7, ip: host })

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
