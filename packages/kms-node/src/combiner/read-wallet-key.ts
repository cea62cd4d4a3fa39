import { KmsError, type Secret } from '@tkms/dkg'
import { readBounded } from '../files.ts'
import { parseWalletKey } from './wallet.ts'

/** In the environment under one of these names, removed from it once read. */
const VARIABLES = ['TKMS_COMBINER_WALLET_KEY', 'NOX_KMS_WALLET_KEY'] as const
const MAX_KEY_FILE_BYTES = 1024

/**
 * The key of the wallet that signs answers: a file, or the environment; never an argument.
 * @throws KmsError `wallet-key-missing`, `bad-wallet-key`
 */
export async function readWalletKey(source: {
  readonly file: string | undefined
  readonly env: Record<string, string | undefined>
}): Promise<Secret> {
  const [direct] = VARIABLES.map((name) => source.env[name]).filter((value) => value !== undefined)
  for (const name of VARIABLES) delete source.env[name]
  if (source.file === undefined && direct === undefined)
    throw new KmsError('wallet-key-missing', `no wallet key: set walletKeyFile, or ${VARIABLES.join(' or ')}`)
  if (source.file === undefined) return parseWalletKey(direct ?? '')
  const bytes = await readKeyFile(source.file)
  try {
    return parseWalletKey(new TextDecoder().decode(bytes))
  } finally {
    bytes.fill(0)
  }
}

async function readKeyFile(file: string): Promise<Uint8Array> {
  try {
    const bytes = await readBounded(file, MAX_KEY_FILE_BYTES)
    if (bytes !== undefined) return bytes
  } catch (cause) {
    throw new KmsError('wallet-key-missing', `${file} cannot be read: the wallet key should be in it`, { cause })
  }
  throw new KmsError('wallet-key-missing', `${file} does not exist: the wallet key should be in it`)
}
