import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import { Secret } from '@tkms/dkg'

/** 32 bytes that stand for randomness, secrets and identifiers: SHA-256 of "TKMS golden" and the parts, joined by "|". */
export const fixed = (...parts: readonly (string | number)[]): Uint8Array =>
  sha256(utf8ToBytes(['TKMS golden', ...parts].join('|')))

/** The same as a secret scalar: below N for every name used here, or the curve refuses it. */
export const fixedSecret = (...parts: readonly (string | number)[]): Secret => new Secret(fixed(...parts))

export const hex = (bytes: Uint8Array): string => bytesToHex(bytes)

/** What a secret holds. Only these vectors ever print one. */
export const revealed = (secret: Secret): string => secret.use(bytesToHex)

/** SPKI of an RSA-2048 key that was thrown away: boxes to it are not part of these vectors, since RSA-OAEP is randomised. */
export const REQUESTER_SPKI =
  '30820122300d06092a864886f70d01010105000382010f003082010a0282010100aff6f83b67087916f837816589e13317adebc8cb194218c6b522004146eb99b91edb58a5a7ca8809b7b9bc4b352bb0f2ca2740456b0f9063ee3623edb8d9052dd73f232e7f80d53bcec03abe683247e070ba4655cff062249b2afbd97b051d420db529c0d4d59edfa6ef9f50d9a14aa6ad0c79d303e5aba2dbbc9b3827c2386422d1c872267039aaf4577edabc5c62420c62d093f3c96f17169004d31b1a246fdec3c4e973d01762736c50168befbd292fbb5723629d96cd8f50b2a5333598189deeccdefe5fc1ba863ac67332d31f0cb4c94ad8e7c212b6438bc9678af015006f7585b8571fcfe8d7e5c1596c1e2f17cdf8705b702243040247a3dcd11b98fd0203010001'
