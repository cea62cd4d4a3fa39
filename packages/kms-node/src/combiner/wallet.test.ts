import { hexToBytes } from '@noble/hashes/utils.js'
import { Secret } from '@tkms/dkg'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { describe, expect, it } from 'vitest'
import { responseProofTypedData } from './response-proof.ts'
import { createWallet, parseWalletKey } from './wallet.ts'

describe('wallet', () => {
  it('signs as an independent wallet library does', async () => {
    for (let run = 0; run < 20; run++) {
      const key = generatePrivateKey()
      const account = privateKeyToAccount(key)
      const wallet = createWallet(parseWalletKey(`${key}\n`))
      const salt = generatePrivateKey()
      const data = responseProofTypedData({ chainId: 31_337, salt, encryptedSharedSecret: generatePrivateKey() })
      const { domain, types, primaryType, message } = data
      const theirs = await account.signTypedData({ domain, types, primaryType, message } as never)
      expect(wallet.address).toEqual(hexToBytes(account.address.slice(2)))
      expect(wallet.sign(data)).toEqual(hexToBytes(theirs.slice(2)))
      wallet.destroy()
      expect(() => wallet.sign(data)).toThrow(expect.objectContaining({ code: 'secret-destroyed' }))
    }
  })

  it('refuses what is no key', () => {
    for (const text of ['', '0x', '11'.repeat(31), '11'.repeat(33), 'zz'.repeat(32)])
      expect(() => parseWalletKey(text)).toThrow(expect.objectContaining({ code: 'bad-wallet-key' }))
    for (const byte of [0, 255])
      expect(() => createWallet(new Secret(new Uint8Array(32).fill(byte)))).toThrow(
        expect.objectContaining({ code: 'bad-wallet-key' }),
      )
  })
})
