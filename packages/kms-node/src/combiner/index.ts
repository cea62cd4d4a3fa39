/** The entry `@tkms/kms-node/combiner`: the drop-in for the single-key service of Nox, without its process. */
export { type Combiner, type CombinerParams, startCombiner } from './combiner.ts'
export { type CombinerChain, type CombinerConfig, type LoadedConfig, loadCombinerConfig } from './config.ts'
export { readWalletKey } from './read-wallet-key.ts'
export { responseProofTypedData } from './response-proof.ts'
export { createWallet, parseWalletKey, type Wallet } from './wallet.ts'
