import { createHash, generateKeyPairSync, sign } from 'node:crypto'

/** DER: tag, length, content. Below 65536 bytes. */
function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents)
  const { length } = content
  const head = length < 0x80 ? [tag, length] : [tag, 0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from(head), content])
}

const sequence = (...items: readonly Uint8Array[]): Buffer => der(0x30, ...items)
const utcTime = (text: string): Buffer => der(0x17, Buffer.from(text))
/** 1.3.101.112, Ed25519 (RFC 8410). */
const ED25519 = sequence(der(0x06, Buffer.of(0x2b, 0x65, 0x70)))

/** A self-signed certificate of no name for a fresh Ed25519 key, with the hash that pins it. */
export function createTestTls(): { readonly key: string; readonly cert: string; readonly spkiSha256: Uint8Array } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const serial = der(0x02, Buffer.of(1))
  const validity = sequence(utcTime('200101000000Z'), utcTime('491231235959Z'))
  const body = sequence(serial, ED25519, sequence(), validity, sequence(), spki)
  const signature = der(0x03, Buffer.of(0), sign(null, body, privateKey))
  const encoded = sequence(body, ED25519, signature).toString('base64')
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${encoded}\n-----END CERTIFICATE-----\n`,
    spkiSha256: createHash('sha256').update(spki).digest(),
  }
}
