import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { bytesToHex } from '@noble/hashes/utils.js'
import { COMMAND } from '../../command.ts'
import type { NodeConfig } from '../../config/types.ts'
import { isKmsError } from '../../errors.ts'
import { openRulePorts } from '../../policy/open-policy.ts'
import { loadPolicy } from '../../policy/policy-file.ts'
import type { Rng } from '../../ports.ts'
import type { FileSystem } from '../../store/file-system.ts'
import { storeDirectory } from '../../system.ts'
import { type Finding, findingsOf } from './finding.ts'

const MIB = 1024 * 1024
const WARN_FREE_BYTES = 256 * MIB
const BAD_FREE_BYTES = 16 * MIB

/** That the store's directory takes bytes, and how much room there is. */
export async function judgeStorage(
  config: NodeConfig,
  ports: { readonly fileSystem: FileSystem; readonly rng: Rng },
): Promise<readonly Finding[]> {
  const { fileSystem, rng } = ports
  const store = findingsOf('store', config.name)
  const disk = findingsOf('disk', config.name)
  const directory = storeDirectory(config.dataDir)
  const path = join(directory, `probe-${bytesToHex(rng.bytes(8))}.tmp`)
  const writable = await fileSystem
    .writeNew(path, new Uint8Array(1))
    .then(() => fileSystem.unlink(path))
    .then(
      () => store.ok(`${directory} takes bytes`),
      (cause: unknown) =>
        store.fail(
          `${directory} cannot be written: ${isKmsError(cause) ? cause.code : 'unexpected'}`,
          'make room, mend the disk, or run this as the user of the node',
        ),
    )
  const { bavail, bsize } = await statfs(config.dataDir)
  const freeBytes = bavail * bsize
  const room = `${Math.floor(freeBytes / MIB)} MiB are free`
  const remedy = 'make room: without it the node records nothing, and so releases nothing'
  if (freeBytes < BAD_FREE_BYTES) return [writable, disk.fail(room, remedy)]
  return [writable, freeBytes < WARN_FREE_BYTES ? disk.warn(room, remedy) : disk.ok(room)]
}

/** What protects the store, which only node.yaml decides. */
export function judgeSealing({ name, profile, sealer }: NodeConfig): Finding {
  const finding = findingsOf('sealing', name)
  const isForDevelopment = profile === 'development' || sealer.provider === 'kms-file'
  return isForDevelopment
    ? finding.warn(
        `${sealer.provider}, in the ${profile} profile`,
        'set profile: production in node.yaml before anything of value is sealed',
      )
    : finding.ok(`${sealer.provider}, in the production profile`)
}

/** That the node would take its policy file as it is now. */
export async function judgePolicy(config: NodeConfig): Promise<Finding> {
  const { policyFile: file, profile, name } = config
  const finding = findingsOf('policy', name)
  const remarks: string[] = []
  const remark = (path: string, message: string): void => void remarks.push(`${path}: ${message}`)
  const look = `run: ${COMMAND} policy check --data-dir ${config.dataDir}`
  try {
    await loadPolicy(file, { ports: await openRulePorts(config), profile, remark })
  } catch (cause) {
    if (!isKmsError(cause)) throw cause
    return finding.fail(`${file} is refused: ${cause.code}`, look)
  }
  return remarks.length === 0
    ? finding.ok(`${file} is right`)
    : finding.warn(`${file} has rules that can never say yes: ${remarks.join('; ')}`, look)
}
