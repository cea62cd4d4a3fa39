import { isKmsError } from '../errors.ts'
import type { ChainReader } from '../chain/chain-reader.ts'
import {
  type ContractView,
  decodeBool,
  encodeViewCall,
  parseContractView,
  VIEW_ARGUMENTS,
  type ViewArgument,
  type ViewValues,
} from './contract-view.ts'
import { type DecisionInput, no, type PolicyRule, type RuleVerdict, YES } from './decision.ts'
import { isAddress, readChainId, type RuleType } from './rule-type.ts'

const ONCHAIN = 'onchain'
/** Who may view a handle, as NoxCompute answers it. */
const DEFAULT_VIEW = 'isViewer(bytes32,address)'
const DEFAULT_ARGS: readonly ViewArgument[] = ['handle', 'account']
const ZERO_ADDRESS = new Uint8Array(20)

/** A read of one bool, as a verdict: yes only for `true` from enough endpoints. */
export async function askContract(
  chains: ChainReader,
  question: { readonly chainId: number; readonly contract: `0x${string}`; readonly data: Uint8Array },
  signal: AbortSignal,
): Promise<RuleVerdict> {
  const { chainId, contract: to, data } = question
  try {
    const answer = decodeBool(await chains.call({ chainId, to, data, signal }))
    if (answer === undefined) return no('view-gave-no-bool')
    return answer ? YES : no('view-says-no')
  } catch (error) {
    if (isKmsError(error) && error.code === 'chain-reverted') return no('view-reverted')
    if (isKmsError(error) && error.code === 'chain-unavailable')
      return { kind: 'no', reason: 'chain-unavailable', undecided: true }
    throw error
  }
}

/**
 * Yes when a contract says so, now, at enough endpoints. A view that takes the handle or the chain id is asked only about an item whose
 * handle is bound to its K and that lies on the rule's chain: a v1 item alone could name the handle of one secret and the K of another.
 */
export function createOnchainRule(options: {
  readonly chains: ChainReader
  readonly chainId: number
  readonly contract: `0x${string}`
  readonly view: ContractView
}): PolicyRule {
  const { chains, chainId, contract, view } = options
  const takes = (arg: ViewArgument): boolean => view.args.includes(arg)
  const aboutItem = takes('handle') || takes('chainId')
  return {
    name: ONCHAIN,
    ...(!takes('handle') && !takes('account') && { coarse: true }),
    async decide(input, { handleBound }) {
      const { item, principal } = input
      if (takes('account') && principal?.kind !== 'ethereum') return no('not-an-ethereum-requester')
      if (aboutItem && !handleBound) return no('handle-not-bound')
      const label = item.version === 2 ? item.header.label : item
      if (aboutItem && label.chainId !== chainId) return no('handle-of-another-chain')
      const values = { ...valuesOf(input), chainId: label.chainId, handle: label.handle }
      return askContract(chains, { chainId, contract, data: encodeViewCall(view, values) }, input.signal)
    },
  }
}

const valuesOf = ({
  request,
  principal,
  recipientSpkiHash,
}: DecisionInput): Omit<ViewValues, 'chainId' | 'handle'> => ({
  account: principal?.kind === 'ethereum' ? principal.address : ZERO_ADDRESS,
  keyId: request.keyId,
  spkiHash: recipientSpkiHash,
})

/** `rule: onchain` with `chain:`, `contract:`, and unless it is isViewer(handle, account) `view:` and `args:`. */
export const onchainRuleType: RuleType = {
  name: ONCHAIN,
  parse({ chain, contract, view = DEFAULT_VIEW, args = DEFAULT_ARGS, ...others }, problem) {
    for (const name of Object.keys(others)) problem(name, 'is no option of onchain')
    const chainId = readChainId(chain, problem)
    if (!isAddress(contract)) problem('contract', 'must be an address, 0x and 40 hex digits')
    const known = Array.isArray(args) && args.every((arg: unknown) => VIEW_ARGUMENTS.some((name) => name === arg))
    if (!known) problem('args', `must be a list of ${VIEW_ARGUMENTS.join(', ')}`)
    const parsed = known ? parseContractView(typeof view === 'string' ? view : '', args as readonly ViewArgument[]) : ''
    if (typeof parsed === 'string') {
      if (known) problem('view', parsed)
      return undefined
    }
    if (chainId === undefined || !isAddress(contract) || Object.keys(others).length > 0) return undefined
    return ({ chains }) => {
      if (chains.has(chainId)) return createOnchainRule({ chains, chainId, contract, view: parsed })
      return problem('chain', `is not among the chains of node.yaml`)
    }
  },
}
