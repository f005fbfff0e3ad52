// Types of Kubernetes 1.32 in the notation of ../notation.ts; written by ../generate_tables.ts.

export const SYSTEM_TYPES = `
# coordination io.k8s.api.coordination.v1
Lease: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec=LeaseSpec:2
LeaseList: apiVersion=s items!=[Lease]:2 kind=s metadata=meta.ListMeta:1
LeaseSpec: acquireTime=mt:3 holderIdentity=s:1 leaseDurationSeconds=i:2 leaseTransitions=i:5 preferredHolder=s:7 renewTime=mt:4 strategy=s:6
# events io.k8s.api.events.v1
Event: action=s:6 apiVersion=s deprecatedCount=i:15 deprecatedFirstTimestamp=t:13 deprecatedLastTimestamp=t:14 deprecatedSource=core.EventSource:12 eventTime!=mt:2 kind=s metadata=meta.ObjectMeta:1 note=s:10 reason=s:7 regarding=core.ObjectReference:8 related=core.ObjectReference:9 reportingController=s:4 reportingInstance=s:5 series=EventSeries:3 type=s:11
EventList: apiVersion=s items!=[Event]:2 kind=s metadata=meta.ListMeta:1
EventSeries: count!=i:1 lastObservedTime!=mt:2
# scheduling io.k8s.api.scheduling.v1
PriorityClass: apiVersion=s description=s:4 globalDefault=b:3 kind=s metadata=meta.ObjectMeta:1 preemptionPolicy=s:5 value!=i:2
PriorityClassList: apiVersion=s items!=[PriorityClass]:2 kind=s metadata=meta.ListMeta:1
# node io.k8s.api.node.v1
Overhead: podFixed={q}:1
RuntimeClass: apiVersion=s handler!=s:2 kind=s metadata=meta.ObjectMeta:1 overhead=Overhead:3 scheduling=Scheduling:4
RuntimeClassList: apiVersion=s items!=[RuntimeClass]:2 kind=s metadata=meta.ListMeta:1
Scheduling: nodeSelector={s}:1% tolerations=[core.Toleration]:2
# storage io.k8s.api.storage.v1
CSIDriver: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec!=CSIDriverSpec:2
CSIDriverList: apiVersion=s items!=[CSIDriver]:2 kind=s metadata=meta.ListMeta:1
CSIDriverSpec: attachRequired=b:1 fsGroupPolicy=s:5 podInfoOnMount=b:2 requiresRepublish=b:7 seLinuxMount=b:8 storageCapacity=b:4 tokenRequests=[TokenRequest]:6 volumeLifecycleModes=[s]:3+
CSINode: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec!=CSINodeSpec:2
CSINodeDriver: allocatable=VolumeNodeResources:4 name!=s:1 nodeID!=s:2 topologyKeys=[s]:3
CSINodeList: apiVersion=s items!=[CSINode]:2 kind=s metadata=meta.ListMeta:1
CSINodeSpec: drivers!=[CSINodeDriver]:1@name~name
CSIStorageCapacity: apiVersion=s capacity=q:4 kind=s maximumVolumeSize=q:5 metadata=meta.ObjectMeta:1 nodeTopology=meta.LabelSelector:2 storageClassName!=s:3
CSIStorageCapacityList: apiVersion=s items!=[CSIStorageCapacity]:2 kind=s metadata=meta.ListMeta:1
StorageClass: allowVolumeExpansion=b:6 allowedTopologies=[core.TopologySelectorTerm]:8 apiVersion=s kind=s metadata=meta.ObjectMeta:1 mountOptions=[s]:5 parameters={s}:3 provisioner!=s:2 reclaimPolicy=s:4 volumeBindingMode=s:7
StorageClassList: apiVersion=s items!=[StorageClass]:2 kind=s metadata=meta.ListMeta:1
TokenRequest: audience!=s:1 expirationSeconds=l:2
VolumeAttachment: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec!=VolumeAttachmentSpec:2 status=VolumeAttachmentStatus:3
VolumeAttachmentList: apiVersion=s items!=[VolumeAttachment]:2 kind=s metadata=meta.ListMeta:1
VolumeAttachmentSource: inlineVolumeSpec=core.PersistentVolumeSpec:2 persistentVolumeName=s:1
VolumeAttachmentSpec: attacher!=s:1 nodeName!=s:3 source!=VolumeAttachmentSource:2
VolumeAttachmentStatus: attachError=VolumeError:3 attached!=b:1 attachmentMetadata={s}:2 detachError=VolumeError:4
VolumeError: message=s:2 time=t:1
VolumeNodeResources: count=i:1
# admissionregistration io.k8s.api.admissionregistration.v1
AuditAnnotation: key!=s:1 valueExpression!=s:2
ExpressionWarning: fieldRef!=s:2 warning!=s:3
MatchCondition: expression!=s:2 name!=s:1
MatchResources%: excludeResourceRules=[NamedRuleWithOperations]:4 matchPolicy=s:7 namespaceSelector=meta.LabelSelector:1 objectSelector=meta.LabelSelector:2 resourceRules=[NamedRuleWithOperations]:3
MutatingWebhook: admissionReviewVersions!=[s]:8 clientConfig!=WebhookClientConfig:2 failurePolicy=s:4 matchConditions=[MatchCondition]:12@name~name matchPolicy=s:9 name!=s:1 namespaceSelector=meta.LabelSelector:5 objectSelector=meta.LabelSelector:11 reinvocationPolicy=s:10 rules=[RuleWithOperations]:3 sideEffects!=s:6 timeoutSeconds=i:7
MutatingWebhookConfiguration: apiVersion=s kind=s metadata=meta.ObjectMeta:1 webhooks=[MutatingWebhook]:2@name~name
MutatingWebhookConfigurationList: apiVersion=s items!=[MutatingWebhookConfiguration]:2 kind=s metadata=meta.ListMeta:1
NamedRuleWithOperations%: apiGroups=[s]:2.2.1 apiVersions=[s]:2.2.2 operations=[s]:2.1 resourceNames=[s]:1 resources=[s]:2.2.3 scope=s:2.2.4
ParamKind%: apiVersion=s:1 kind=s:2
ParamRef%: name=s:1 namespace=s:2 parameterNotFoundAction=s:4 selector=meta.LabelSelector:3
RuleWithOperations: apiGroups=[s]:2.1 apiVersions=[s]:2.2 operations=[s]:1 resources=[s]:2.3 scope=s:2.4
ServiceReference: name!=s:2 namespace!=s:1 path=s:3 port=i:4
TypeChecking: expressionWarnings=[ExpressionWarning]:1
ValidatingAdmissionPolicy: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec=ValidatingAdmissionPolicySpec:2 status=ValidatingAdmissionPolicyStatus:3
ValidatingAdmissionPolicyBinding: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec=ValidatingAdmissionPolicyBindingSpec:2
ValidatingAdmissionPolicyBindingList: apiVersion=s items!=[ValidatingAdmissionPolicyBinding]:2 kind=s metadata=meta.ListMeta:1
ValidatingAdmissionPolicyBindingSpec: matchResources=MatchResources:3 paramRef=ParamRef:2 policyName=s:1 validationActions=[s]:4+
ValidatingAdmissionPolicyList: apiVersion=s items!=[ValidatingAdmissionPolicy]:2 kind=s metadata=meta.ListMeta:1
ValidatingAdmissionPolicySpec: auditAnnotations=[AuditAnnotation]:5 failurePolicy=s:4 matchConditions=[MatchCondition]:6@name~name matchConstraints=MatchResources:2 paramKind=ParamKind:1 validations=[Validation]:3 variables=[Variable]:7@name~name
ValidatingAdmissionPolicyStatus: conditions=[meta.Condition]:3@type observedGeneration=l:1 typeChecking=TypeChecking:2
ValidatingWebhook: admissionReviewVersions!=[s]:8 clientConfig!=WebhookClientConfig:2 failurePolicy=s:4 matchConditions=[MatchCondition]:11@name~name matchPolicy=s:9 name!=s:1 namespaceSelector=meta.LabelSelector:5 objectSelector=meta.LabelSelector:10 rules=[RuleWithOperations]:3 sideEffects!=s:6 timeoutSeconds=i:7
ValidatingWebhookConfiguration: apiVersion=s kind=s metadata=meta.ObjectMeta:1 webhooks=[ValidatingWebhook]:2@name~name
ValidatingWebhookConfigurationList: apiVersion=s items!=[ValidatingWebhookConfiguration]:2 kind=s metadata=meta.ListMeta:1
Validation: expression!=s:1 message=s:2 messageExpression=s:4 reason=s:3
Variable%: expression!=s:2 name!=s:1
WebhookClientConfig: caBundle=y:2 service=ServiceReference:1 url=s:3
# apiextensions io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1
CustomResourceColumnDefinition: description=s:4 format=s:3 jsonPath!=s:6 name!=s:1 priority=i:5 type!=s:2
CustomResourceConversion: strategy!=s:1 webhook=WebhookConversion:2
CustomResourceDefinition: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec!=CustomResourceDefinitionSpec:2 status=CustomResourceDefinitionStatus:3
CustomResourceDefinitionCondition: lastTransitionTime=t:3 message=s:5 reason=s:4 status!=s:2 type!=s:1
CustomResourceDefinitionList: apiVersion=s items!=[CustomResourceDefinition]:2 kind=s metadata=meta.ListMeta:1
CustomResourceDefinitionNames: categories=[s]:6 kind!=s:4 listKind=s:5 plural!=s:1 shortNames=[s]:3 singular=s:2
CustomResourceDefinitionSpec: conversion=CustomResourceConversion:9 group!=s:1 names!=CustomResourceDefinitionNames:3 preserveUnknownFields=b:10 scope!=s:4 versions!=[CustomResourceDefinitionVersion]:7
CustomResourceDefinitionStatus: acceptedNames=CustomResourceDefinitionNames:2 conditions=[CustomResourceDefinitionCondition]:1@type storedVersions=[s]:3
CustomResourceDefinitionVersion: additionalPrinterColumns=[CustomResourceColumnDefinition]:6 deprecated=b:7 deprecationWarning=s:8 name!=s:1 schema=CustomResourceValidation:4 selectableFields=[SelectableField]:9 served!=b:2 storage!=b:3 subresources=CustomResourceSubresources:5
CustomResourceSubresourceScale: labelSelectorPath=s:3 specReplicasPath!=s:1 statusReplicasPath!=s:2
CustomResourceSubresourceStatus:
CustomResourceSubresources: scale=CustomResourceSubresourceScale:2 status=CustomResourceSubresourceStatus:1
CustomResourceValidation: openAPIV3Schema=JSONSchemaProps:1
ExternalDocumentation: description=s:1 url=s:2
JSONSchemaProps: \$ref=s:3 \$schema=s:2 additionalItems=j:33 additionalProperties=j:30 allOf=[JSONSchemaProps]:25 anyOf=[JSONSchemaProps]:27 default=j:8 definitions={JSONSchemaProps}:34 dependencies={j}:32 description=s:4 enum=[j]:20 example=j:36 exclusiveMaximum=b:10 exclusiveMinimum=b:12 externalDocs=ExternalDocumentation:35 format=s:6 id=s:1 items=j:24 maxItems=l:16 maxLength=l:13 maxProperties=l:21 maximum=n:9 minItems=l:17 minLength=l:14 minProperties=l:22 minimum=n:11 multipleOf=n:19 not=JSONSchemaProps:28 nullable=b:37 oneOf=[JSONSchemaProps]:26 pattern=s:15 patternProperties={JSONSchemaProps}:31 properties={JSONSchemaProps}:29 required=[s]:23 title=s:7 type=s:5 uniqueItems=b:18 x-kubernetes-embedded-resource=b:39 x-kubernetes-int-or-string=b:40 x-kubernetes-list-map-keys=[s]:41 x-kubernetes-list-type=s:42 x-kubernetes-map-type=s:43 x-kubernetes-preserve-unknown-fields=b:38 x-kubernetes-validations=[ValidationRule]:44@rule~rule
SelectableField: jsonPath!=s:1
ServiceReference: name!=s:2 namespace!=s:1 path=s:3 port=i:4
ValidationRule: fieldPath=s:5 message=s:2 messageExpression=s:3 optionalOldSelf=b:6 reason=s:4 rule!=s:1
WebhookClientConfig: caBundle=y:2 service=ServiceReference:1 url=s:3
WebhookConversion: clientConfig=WebhookClientConfig:2 conversionReviewVersions!=[s]:3
# apiregistration io.k8s.kube-aggregator.pkg.apis.apiregistration.v1
APIService: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec=APIServiceSpec:2 status=APIServiceStatus:3
APIServiceCondition: lastTransitionTime=t:3 message=s:5 reason=s:4 status!=s:2 type!=s:1
APIServiceList: apiVersion=s items!=[APIService]:2 kind=s metadata=meta.ListMeta:1
APIServiceSpec: caBundle=y:5 group=s:2 groupPriorityMinimum!=i:7 insecureSkipTLSVerify=b:4 service=ServiceReference:1 version=s:3 versionPriority!=i:8
APIServiceStatus: conditions=[APIServiceCondition]:1@type~type
ServiceReference: name=s:2 namespace=s:1 port=i:3
`;
