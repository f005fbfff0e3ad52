// Types of Kubernetes 1.32 in the notation of ../notation.ts; written by ../generate_tables.ts.

export const NETWORK_TYPES = `
# discovery io.k8s.api.discovery.v1
Endpoint: addresses!=[s]:1+ conditions=EndpointConditions:2 deprecatedTopology={s}:5 hints=EndpointHints:8 hostname=s:3 nodeName=s:6 targetRef=core.ObjectReference:4 zone=s:7
EndpointConditions: ready=b:1 serving=b:2 terminating=b:3
EndpointHints: forZones=[ForZone]:1
EndpointPort%: appProtocol=s:4 name=s:1 port=i:3 protocol=s:2
EndpointSlice: addressType!=s:4 apiVersion=s endpoints!=[Endpoint]:2 kind=s metadata=meta.ObjectMeta:1 ports=[EndpointPort]:3
EndpointSliceList: apiVersion=s items!=[EndpointSlice]:2 kind=s metadata=meta.ListMeta:1
ForZone: name!=s:1
# networking io.k8s.api.networking.v1
HTTPIngressPath: backend!=IngressBackend:2 path=s:1 pathType!=s:3
HTTPIngressRuleValue: paths!=[HTTPIngressPath]:1
IPBlock: cidr!=s:1 except=[s]:2
Ingress: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec=IngressSpec:2 status=IngressStatus:3
IngressBackend: resource=core.TypedLocalObjectReference:3 service=IngressServiceBackend:4
IngressClass: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec=IngressClassSpec:2
IngressClassList: apiVersion=s items!=[IngressClass]:2 kind=s metadata=meta.ListMeta:1
IngressClassParametersReference: apiGroup=s:1 kind!=s:2 name!=s:3 namespace=s:5 scope=s:4
IngressClassSpec: controller=s:1 parameters=IngressClassParametersReference:2
IngressList: apiVersion=s items!=[Ingress]:2 kind=s metadata=meta.ListMeta:1
IngressLoadBalancerIngress: hostname=s:2 ip=s:1 ports=[IngressPortStatus]:4
IngressLoadBalancerStatus: ingress=[IngressLoadBalancerIngress]:1
IngressPortStatus: error=s:3 port!=i:1 protocol!=s:2
IngressRule: host=s:1 http=HTTPIngressRuleValue:2.1
IngressServiceBackend: name!=s:1 port=ServiceBackendPort:2
IngressSpec: defaultBackend=IngressBackend:1 ingressClassName=s:4 rules=[IngressRule]:3 tls=[IngressTLS]:2
IngressStatus: loadBalancer=IngressLoadBalancerStatus:1
IngressTLS: hosts=[s]:1 secretName=s:2
NetworkPolicy: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec=NetworkPolicySpec:2
NetworkPolicyEgressRule: ports=[NetworkPolicyPort]:1 to=[NetworkPolicyPeer]:2
NetworkPolicyIngressRule: from=[NetworkPolicyPeer]:2 ports=[NetworkPolicyPort]:1
NetworkPolicyList: apiVersion=s items!=[NetworkPolicy]:2 kind=s metadata=meta.ListMeta:1
NetworkPolicyPeer: ipBlock=IPBlock:3 namespaceSelector=meta.LabelSelector:2 podSelector=meta.LabelSelector:1
NetworkPolicyPort: endPort=i:3 port=x:2 protocol=s:1
NetworkPolicySpec: egress=[NetworkPolicyEgressRule]:3 ingress=[NetworkPolicyIngressRule]:2 podSelector!=meta.LabelSelector:1 policyTypes=[s]:4
ServiceBackendPort%: name=s:1 number=i:2
`;
