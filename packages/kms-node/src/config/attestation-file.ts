import { dirname, resolve } from 'node:path'
import { attestationSchema, resolveAttestation } from './attestation.ts'
import { schemaProblems } from './environment.ts'
import type { AttestationConfig } from './types.ts'
import { configError, readYamlFile } from './yaml-file.ts'

/**
 * What somebody outside trusts: YAML with what stands under `attestation` in node.yaml. Relative paths start at the file.
 * @throws KmsError `config-missing`, `config-unreadable`, `bad-config-file`
 */
export async function readAttestationFile(file: string): Promise<AttestationConfig> {
  const parsed = attestationSchema.safeParse(await readYamlFile(file))
  if (parsed.success) return resolveAttestation(dirname(resolve(file)), parsed.data)
  throw configError('bad-config-file', `${file} is refused`, { file, problems: schemaProblems(parsed.error, []) })
}
