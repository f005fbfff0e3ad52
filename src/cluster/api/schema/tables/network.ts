// Types of Kubernetes 1.32 in the notation of ../notation.ts; written by ../generate_tables.ts.

export const NETWORK_TYPES = `
# discovery io.k8s.api.discovery.v1
Endpoint: addresses!=[s]+ conditions=EndpointConditions deprecatedTopology={s} hints=EndpointHints hostname=s nodeName=s targetRef=core.ObjectReference zone=s
EndpointConditions: ready=b serving=b terminating=b
EndpointHints: forZones=[ForZone]
EndpointPort%: appProtocol=s name=s port=i protocol=s
EndpointSlice: addressType!=s apiVersion=s endpoints!=[Endpoint] kind=s metadata=meta.ObjectMeta ports=[EndpointPort]
EndpointSliceList: apiVersion=s items!=[EndpointSlice] kind=s metadata=meta.ListMeta
ForZone: name!=s
# networking io.k8s.api.networking.v1
HTTPIngressPath: backend!=IngressBackend path=s pathType!=s
HTTPIngressRuleValue: paths!=[HTTPIngressPath]
IPBlock: cidr!=s except=[s]
Ingress: apiVersion=s kind=s metadata=meta.ObjectMeta spec=IngressSpec status=IngressStatus
IngressBackend: resource=core.TypedLocalObjectReference service=IngressServiceBackend
IngressClass: apiVersion=s kind=s metadata=meta.ObjectMeta spec=IngressClassSpec
IngressClassList: apiVersion=s items!=[IngressClass] kind=s metadata=meta.ListMeta
IngressClassParametersReference: apiGroup=s kind!=s name!=s namespace=s scope=s
IngressClassSpec: controller=s parameters=IngressClassParametersReference
IngressList: apiVersion=s items!=[Ingress] kind=s metadata=meta.ListMeta
IngressLoadBalancerIngress: hostname=s ip=s ports=[IngressPortStatus]
IngressLoadBalancerStatus: ingress=[IngressLoadBalancerIngress]
IngressPortStatus: error=s port!=i protocol!=s
IngressRule: host=s http=HTTPIngressRuleValue
IngressServiceBackend: name!=s port=ServiceBackendPort
IngressSpec: defaultBackend=IngressBackend ingressClassName=s rules=[IngressRule] tls=[IngressTLS]
IngressStatus: loadBalancer=IngressLoadBalancerStatus
IngressTLS: hosts=[s] secretName=s
NetworkPolicy: apiVersion=s kind=s metadata=meta.ObjectMeta spec=NetworkPolicySpec
NetworkPolicyEgressRule: ports=[NetworkPolicyPort] to=[NetworkPolicyPeer]
NetworkPolicyIngressRule: from=[NetworkPolicyPeer] ports=[NetworkPolicyPort]
NetworkPolicyList: apiVersion=s items!=[NetworkPolicy] kind=s metadata=meta.ListMeta
NetworkPolicyPeer: ipBlock=IPBlock namespaceSelector=meta.LabelSelector podSelector=meta.LabelSelector
NetworkPolicyPort: endPort=i port=x protocol=s
NetworkPolicySpec: egress=[NetworkPolicyEgressRule] ingress=[NetworkPolicyIngressRule] podSelector!=meta.LabelSelector policyTypes=[s]
ServiceBackendPort%: name=s number=i
`;
