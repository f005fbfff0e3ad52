// Types of Kubernetes 1.32 in the notation of ../notation.ts; written by ../generate_tables.ts.

export const SYSTEM_TYPES = `
# coordination io.k8s.api.coordination.v1
Lease: apiVersion=s kind=s metadata=meta.ObjectMeta spec=LeaseSpec
LeaseList: apiVersion=s items!=[Lease] kind=s metadata=meta.ListMeta
LeaseSpec: acquireTime=mt holderIdentity=s leaseDurationSeconds=i leaseTransitions=i preferredHolder=s renewTime=mt strategy=s
# events io.k8s.api.events.v1
Event: action=s apiVersion=s deprecatedCount=i deprecatedFirstTimestamp=t deprecatedLastTimestamp=t deprecatedSource=core.EventSource eventTime!=mt kind=s metadata=meta.ObjectMeta note=s reason=s regarding=core.ObjectReference related=core.ObjectReference reportingController=s reportingInstance=s series=EventSeries type=s
EventList: apiVersion=s items!=[Event] kind=s metadata=meta.ListMeta
EventSeries: count!=i lastObservedTime!=mt
# scheduling io.k8s.api.scheduling.v1
PriorityClass: apiVersion=s description=s globalDefault=b kind=s metadata=meta.ObjectMeta preemptionPolicy=s value!=i
PriorityClassList: apiVersion=s items!=[PriorityClass] kind=s metadata=meta.ListMeta
# node io.k8s.api.node.v1
Overhead: podFixed={q}
RuntimeClass: apiVersion=s handler!=s kind=s metadata=meta.ObjectMeta overhead=Overhead scheduling=Scheduling
RuntimeClassList: apiVersion=s items!=[RuntimeClass] kind=s metadata=meta.ListMeta
Scheduling: nodeSelector={s}% tolerations=[core.Toleration]
# storage io.k8s.api.storage.v1
CSIDriver: apiVersion=s kind=s metadata=meta.ObjectMeta spec!=CSIDriverSpec
CSIDriverList: apiVersion=s items!=[CSIDriver] kind=s metadata=meta.ListMeta
CSIDriverSpec: attachRequired=b fsGroupPolicy=s podInfoOnMount=b requiresRepublish=b seLinuxMount=b storageCapacity=b tokenRequests=[TokenRequest] volumeLifecycleModes=[s]+
CSINode: apiVersion=s kind=s metadata=meta.ObjectMeta spec!=CSINodeSpec
CSINodeDriver: allocatable=VolumeNodeResources name!=s nodeID!=s topologyKeys=[s]
CSINodeList: apiVersion=s items!=[CSINode] kind=s metadata=meta.ListMeta
CSINodeSpec: drivers!=[CSINodeDriver]@name~name
CSIStorageCapacity: apiVersion=s capacity=q kind=s maximumVolumeSize=q metadata=meta.ObjectMeta nodeTopology=meta.LabelSelector storageClassName!=s
CSIStorageCapacityList: apiVersion=s items!=[CSIStorageCapacity] kind=s metadata=meta.ListMeta
StorageClass: allowVolumeExpansion=b allowedTopologies=[core.TopologySelectorTerm] apiVersion=s kind=s metadata=meta.ObjectMeta mountOptions=[s] parameters={s} provisioner!=s reclaimPolicy=s volumeBindingMode=s
StorageClassList: apiVersion=s items!=[StorageClass] kind=s metadata=meta.ListMeta
TokenRequest: audience!=s expirationSeconds=l
VolumeAttachment: apiVersion=s kind=s metadata=meta.ObjectMeta spec!=VolumeAttachmentSpec status=VolumeAttachmentStatus
VolumeAttachmentList: apiVersion=s items!=[VolumeAttachment] kind=s metadata=meta.ListMeta
VolumeAttachmentSource: inlineVolumeSpec=core.PersistentVolumeSpec persistentVolumeName=s
VolumeAttachmentSpec: attacher!=s nodeName!=s source!=VolumeAttachmentSource
VolumeAttachmentStatus: attachError=VolumeError attached!=b attachmentMetadata={s} detachError=VolumeError
VolumeError: message=s time=t
VolumeNodeResources: count=i
# admissionregistration io.k8s.api.admissionregistration.v1
AuditAnnotation: key!=s valueExpression!=s
ExpressionWarning: fieldRef!=s warning!=s
MatchCondition: expression!=s name!=s
MatchResources%: excludeResourceRules=[NamedRuleWithOperations] matchPolicy=s namespaceSelector=meta.LabelSelector objectSelector=meta.LabelSelector resourceRules=[NamedRuleWithOperations]
MutatingWebhook: admissionReviewVersions!=[s] clientConfig!=WebhookClientConfig failurePolicy=s matchConditions=[MatchCondition]@name~name matchPolicy=s name!=s namespaceSelector=meta.LabelSelector objectSelector=meta.LabelSelector reinvocationPolicy=s rules=[RuleWithOperations] sideEffects!=s timeoutSeconds=i
MutatingWebhookConfiguration: apiVersion=s kind=s metadata=meta.ObjectMeta webhooks=[MutatingWebhook]@name~name
MutatingWebhookConfigurationList: apiVersion=s items!=[MutatingWebhookConfiguration] kind=s metadata=meta.ListMeta
NamedRuleWithOperations%: apiGroups=[s] apiVersions=[s] operations=[s] resourceNames=[s] resources=[s] scope=s
ParamKind%: apiVersion=s kind=s
ParamRef%: name=s namespace=s parameterNotFoundAction=s selector=meta.LabelSelector
RuleWithOperations: apiGroups=[s] apiVersions=[s] operations=[s] resources=[s] scope=s
ServiceReference: name!=s namespace!=s path=s port=i
TypeChecking: expressionWarnings=[ExpressionWarning]
ValidatingAdmissionPolicy: apiVersion=s kind=s metadata=meta.ObjectMeta spec=ValidatingAdmissionPolicySpec status=ValidatingAdmissionPolicyStatus
ValidatingAdmissionPolicyBinding: apiVersion=s kind=s metadata=meta.ObjectMeta spec=ValidatingAdmissionPolicyBindingSpec
ValidatingAdmissionPolicyBindingList: apiVersion=s items!=[ValidatingAdmissionPolicyBinding] kind=s metadata=meta.ListMeta
ValidatingAdmissionPolicyBindingSpec: matchResources=MatchResources paramRef=ParamRef policyName=s validationActions=[s]+
ValidatingAdmissionPolicyList: apiVersion=s items!=[ValidatingAdmissionPolicy] kind=s metadata=meta.ListMeta
ValidatingAdmissionPolicySpec: auditAnnotations=[AuditAnnotation] failurePolicy=s matchConditions=[MatchCondition]@name~name matchConstraints=MatchResources paramKind=ParamKind validations=[Validation] variables=[Variable]@name~name
ValidatingAdmissionPolicyStatus: conditions=[meta.Condition]@type observedGeneration=l typeChecking=TypeChecking
ValidatingWebhook: admissionReviewVersions!=[s] clientConfig!=WebhookClientConfig failurePolicy=s matchConditions=[MatchCondition]@name~name matchPolicy=s name!=s namespaceSelector=meta.LabelSelector objectSelector=meta.LabelSelector rules=[RuleWithOperations] sideEffects!=s timeoutSeconds=i
ValidatingWebhookConfiguration: apiVersion=s kind=s metadata=meta.ObjectMeta webhooks=[ValidatingWebhook]@name~name
ValidatingWebhookConfigurationList: apiVersion=s items!=[ValidatingWebhookConfiguration] kind=s metadata=meta.ListMeta
Validation: expression!=s message=s messageExpression=s reason=s
Variable%: expression!=s name!=s
WebhookClientConfig: caBundle=y service=ServiceReference url=s
# apiextensions io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1
CustomResourceColumnDefinition: description=s format=s jsonPath!=s name!=s priority=i type!=s
CustomResourceConversion: strategy!=s webhook=WebhookConversion
CustomResourceDefinition: apiVersion=s kind=s metadata=meta.ObjectMeta spec!=CustomResourceDefinitionSpec status=CustomResourceDefinitionStatus
CustomResourceDefinitionCondition: lastTransitionTime=t message=s reason=s status!=s type!=s
CustomResourceDefinitionList: apiVersion=s items!=[CustomResourceDefinition] kind=s metadata=meta.ListMeta
CustomResourceDefinitionNames: categories=[s] kind!=s listKind=s plural!=s shortNames=[s] singular=s
CustomResourceDefinitionSpec: conversion=CustomResourceConversion group!=s names!=CustomResourceDefinitionNames preserveUnknownFields=b scope!=s versions!=[CustomResourceDefinitionVersion]
CustomResourceDefinitionStatus: acceptedNames=CustomResourceDefinitionNames conditions=[CustomResourceDefinitionCondition]@type storedVersions=[s]
CustomResourceDefinitionVersion: additionalPrinterColumns=[CustomResourceColumnDefinition] deprecated=b deprecationWarning=s name!=s schema=CustomResourceValidation selectableFields=[SelectableField] served!=b storage!=b subresources=CustomResourceSubresources
CustomResourceSubresourceScale: labelSelectorPath=s specReplicasPath!=s statusReplicasPath!=s
CustomResourceSubresourceStatus:
CustomResourceSubresources: scale=CustomResourceSubresourceScale status=CustomResourceSubresourceStatus
CustomResourceValidation: openAPIV3Schema=JSONSchemaProps
ExternalDocumentation: description=s url=s
JSONSchemaProps: \$ref=s \$schema=s additionalItems=j additionalProperties=j allOf=[JSONSchemaProps] anyOf=[JSONSchemaProps] default=j definitions={JSONSchemaProps} dependencies={j} description=s enum=[j] example=j exclusiveMaximum=b exclusiveMinimum=b externalDocs=ExternalDocumentation format=s id=s items=j maxItems=l maxLength=l maxProperties=l maximum=n minItems=l minLength=l minProperties=l minimum=n multipleOf=n not=JSONSchemaProps nullable=b oneOf=[JSONSchemaProps] pattern=s patternProperties={JSONSchemaProps} properties={JSONSchemaProps} required=[s] title=s type=s uniqueItems=b x-kubernetes-embedded-resource=b x-kubernetes-int-or-string=b x-kubernetes-list-map-keys=[s] x-kubernetes-list-type=s x-kubernetes-map-type=s x-kubernetes-preserve-unknown-fields=b x-kubernetes-validations=[ValidationRule]@rule~rule
SelectableField: jsonPath!=s
ServiceReference: name!=s namespace!=s path=s port=i
ValidationRule: fieldPath=s message=s messageExpression=s optionalOldSelf=b reason=s rule!=s
WebhookClientConfig: caBundle=y service=ServiceReference url=s
WebhookConversion: clientConfig=WebhookClientConfig conversionReviewVersions!=[s]
# apiregistration io.k8s.kube-aggregator.pkg.apis.apiregistration.v1
APIService: apiVersion=s kind=s metadata=meta.ObjectMeta spec=APIServiceSpec status=APIServiceStatus
APIServiceCondition: lastTransitionTime=t message=s reason=s status!=s type!=s
APIServiceList: apiVersion=s items!=[APIService] kind=s metadata=meta.ListMeta
APIServiceSpec: caBundle=y group=s groupPriorityMinimum!=i insecureSkipTLSVerify=b service=ServiceReference version=s versionPriority!=i
APIServiceStatus: conditions=[APIServiceCondition]@type~type
ServiceReference: name=s namespace=s port=i
`;
