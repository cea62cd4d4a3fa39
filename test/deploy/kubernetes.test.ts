import { validate as validStatefulSet } from 'kubernetes-models/_schemas/IoK8sApiAppsV1StatefulSet'
import { validate as validConfigMap } from 'kubernetes-models/_schemas/IoK8sApiCoreV1ConfigMap'
import { validate as validNamespace } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Namespace'
import { validate as validService } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Service'
import { validate as validNetworkPolicy } from 'kubernetes-models/_schemas/IoK8sApiNetworkingV1NetworkPolicy'
import { validate as validBudget } from 'kubernetes-models/_schemas/IoK8sApiPolicyV1PodDisruptionBudget'
import { describe, expect, test } from 'vitest'
import { kubernetesManifests, type Manifest } from '../support/deployment-files.ts'
import { unreadFields } from '../support/unread-fields.ts'

/** The manifests of `deploy/kubernetes` against the schemas of Kubernetes, and against what a node needs. */

const manifests = kubernetesManifests()
const of = (kind: string): readonly Manifest[] => manifests.filter((manifest) => manifest.kind === kind)

/** The compiled schemas of Kubernetes' own OpenAPI document. */
const SCHEMAS: Readonly<Record<string, (data: unknown) => boolean>> = {
  'apps/v1 StatefulSet': validStatefulSet,
  'networking.k8s.io/v1 NetworkPolicy': validNetworkPolicy,
  'policy/v1 PodDisruptionBudget': validBudget,
  'v1 ConfigMap': validConfigMap,
  'v1 Namespace': validNamespace,
  'v1 Service': validService,
}

/** @returns the fields that the schema does not know */
function validate(manifest: object): readonly string[] {
  const { apiVersion, kind } = manifest as Manifest
  const isValid = SCHEMAS[`${apiVersion} ${kind}`]
  if (isValid === undefined) throw new Error(`no schema for ${apiVersion} ${kind}`)
  return unreadFields(manifest, (observed) => {
    if (!isValid(observed)) throw new Error(`${kind} is not what its schema says`)
  })
}

interface Container {
  readonly name: string
  readonly securityContext: object
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[]
  readonly lifecycle?: { readonly preStop: { readonly sleep: { readonly seconds: number } } }
  readonly startupProbe?: object
  readonly livenessProbe?: object
  readonly readinessProbe?: object
}
interface Pod {
  readonly terminationGracePeriodSeconds: number
  readonly automountServiceAccountToken: boolean
  readonly securityContext: object
  readonly initContainers: readonly Container[]
  readonly containers: readonly Container[]
  readonly volumes: readonly object[]
}
interface StatefulSetShape {
  readonly spec: { readonly replicas: number; readonly template: { readonly spec: Pod } }
}
const { spec } = of('StatefulSet')[0] as unknown as StatefulSetShape
const pod = spec.template.spec
const containers = [...pod.initContainers, ...pod.containers]
const [node] = pod.containers
if (node === undefined) throw new Error('the pod has no container')

describe('deploy/kubernetes', () => {
  test.each(manifests.map((manifest) => [`${manifest.kind} ${manifest.metadata.name}`, manifest] as const))(
    '%s is what its schema says',
    (_name, manifest) => expect(validate(manifest)).toEqual([]),
  )

  test('has everything, once, in its own namespace', () => {
    expect(manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`).toSorted()).toEqual([
      'ConfigMap tkms-node',
      'Namespace tkms',
      'NetworkPolicy default-deny',
      'NetworkPolicy tkms-node',
      'PodDisruptionBudget tkms-node',
      'Service tkms-node',
      'Service tkms-node-public',
      'StatefulSet tkms-node',
    ])
    for (const { kind, metadata } of manifests) if (kind !== 'Namespace') expect(metadata.namespace).toBe('tkms')
  })

  test('a field that the schema does not know, or of another type, is noticed', () => {
    const [set] = of('StatefulSet')
    expect(validate({ ...set, spec: { ...spec, replica: 1 } })).toEqual(['/spec/replica'])
    expect(() => validate({ ...set, spec: { ...spec, replicas: 'one' } })).toThrow('is not what its schema says')
  })

  test('every pod is restricted by the Pod Security Standards', () => {
    expect(of('Namespace')[0]?.metadata).toMatchObject({
      labels: { 'pod-security.kubernetes.io/enforce': 'restricted' },
    })
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
    expect(pod.automountServiceAccountToken).toBe(false)
    expect(containers.map(({ name }) => name)).toEqual(['init', 'join', 'node'])
    for (const { securityContext } of containers)
      expect(securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      })
    const kinds = pod.volumes.flatMap((volume) => Object.keys(volume)).filter((key) => key !== 'name')
    expect(new Set(kinds)).toEqual(new Set(['secret', 'configMap', 'emptyDir']))
  })

  test('one node, with time to drain, whose probes are its own', () => {
    expect(spec.replicas).toBe(1)
    const drainSeconds = (node.lifecycle?.preStop.sleep.seconds ?? Number.POSITIVE_INFINITY) + 15
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(drainSeconds)
    const health = { httpGet: { path: '/health', port: 'https', scheme: 'HTTPS' } }
    expect(node.startupProbe).toMatchObject(health)
    expect(node.livenessProbe).toMatchObject(health)
    expect(node.readinessProbe).toMatchObject({ httpGet: { path: '/ready', port: 'https', scheme: 'HTTPS' } })
    expect(node.ports).toMatchObject([
      { name: 'p2p', containerPort: 7001 },
      { name: 'https', containerPort: 7443 },
    ])
  })

  test('the network is closed but for two ports and names', () => {
    const policies = of('NetworkPolicy') as readonly (Manifest & { readonly spec: Record<string, unknown> })[]
    const [deny, own] = policies.toSorted((left, right) => (left.metadata.name < right.metadata.name ? -1 : 1))
    expect(deny?.spec).toEqual({ podSelector: {}, policyTypes: ['Ingress', 'Egress'] })
    const ports = [
      { port: 7001, protocol: 'TCP' },
      { port: 7443, protocol: 'TCP' },
    ]
    expect(own?.spec).toMatchObject({ ingress: [{ ports }], policyTypes: ['Ingress', 'Egress'] })
    const egress = (own?.spec['egress'] ?? []) as readonly { readonly ports: readonly { readonly port: number }[] }[]
    expect(egress.flatMap((rule) => rule.ports.map(({ port }) => port))).toEqual([7001, 7443, 53, 53])
  })
})
