import { KmsError } from '@tkms/dkg'
import { UNTOUCHED } from './pcr-values.ts'
import type { Tpm2Tools } from './tpm2-tools.ts'

const VALUE = /:\s*0x([0-9A-Fa-f]+)\s*$/gm

/**
 * That something was measured: where the firmware extends no PCR, a policy over them holds for whatever system is started.
 * @param pcrs "sha256:0,1,2"
 * @param strict false: only that the TPM has these PCRs
 * @throws KmsError `tpm-unmeasured`, `tpm-unavailable`, `tpm-refused`
 */
export async function requireMeasured(tools: Tpm2Tools, pcrs: string, strict: boolean): Promise<void> {
  const output = await tools.session(() => tools.run({ tool: 'tpm2_pcrread', args: [pcrs] }))
  const values = output.use((bytes) => [...Buffer.from(bytes).toString('latin1').matchAll(VALUE)])
  if (values.length === 0) throw new KmsError('tpm-refused', `the TPM has none of the PCRs ${pcrs}`, { data: { pcrs } })
  if (!strict || values.some(([, value = '']) => !UNTOUCHED.test(value))) return
  throw unmeasured(`none of the PCRs ${pcrs} was extended since this machine's reset`, pcrs)
}

/** @param finding what is so, as the beginning of a sentence */
export const unmeasured = (finding: string, pcrs: string): KmsError =>
  new KmsError(
    'tpm-unmeasured',
    `${finding}: its firmware measures nothing, so any system started on it could unseal. Turn measured boot on, or take another sealer`,
    { data: { pcrs } },
  )
