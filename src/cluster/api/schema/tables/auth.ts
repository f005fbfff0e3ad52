// Types of Kubernetes 1.32 in the notation of ../notation.ts; written by ../generate_tables.ts.

export const AUTH_TYPES = `
# rbac io.k8s.api.rbac.v1
AggregationRule: clusterRoleSelectors=[meta.LabelSelector]:1
ClusterRole: aggregationRule=AggregationRule:3 apiVersion=s kind=s metadata=meta.ObjectMeta:1 rules=[PolicyRule]:2
ClusterRoleBinding: apiVersion=s kind=s metadata=meta.ObjectMeta:1 roleRef!=RoleRef:3 subjects=[Subject]:2
ClusterRoleBindingList: apiVersion=s items!=[ClusterRoleBinding]:2 kind=s metadata=meta.ListMeta:1
ClusterRoleList: apiVersion=s items!=[ClusterRole]:2 kind=s metadata=meta.ListMeta:1
PolicyRule: apiGroups=[s]:2 nonResourceURLs=[s]:5 resourceNames=[s]:4 resources=[s]:3 verbs!=[s]:1
Role: apiVersion=s kind=s metadata=meta.ObjectMeta:1 rules=[PolicyRule]:2
RoleBinding: apiVersion=s kind=s metadata=meta.ObjectMeta:1 roleRef!=RoleRef:3 subjects=[Subject]:2
RoleBindingList: apiVersion=s items!=[RoleBinding]:2 kind=s metadata=meta.ListMeta:1
RoleList: apiVersion=s items!=[Role]:2 kind=s metadata=meta.ListMeta:1
RoleRef%: apiGroup!=s:1 kind!=s:2 name!=s:3
Subject%: apiGroup=s:2 kind!=s:1 name!=s:3 namespace=s:4
# authentication io.k8s.api.authentication.v1
BoundObjectReference: apiVersion=s:2 kind=s:1 name=s:3 uid=s:4
SelfSubjectReview: apiVersion=s kind=s metadata=meta.ObjectMeta:1 status=SelfSubjectReviewStatus:2
SelfSubjectReviewStatus: userInfo=UserInfo:1
TokenRequest: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec!=TokenRequestSpec:2 status=TokenRequestStatus:3
TokenRequestSpec: audiences!=[s]:1 boundObjectRef=BoundObjectReference:3 expirationSeconds=l:4
TokenRequestStatus: expirationTimestamp!=t:2 token!=s:1
TokenReview: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec!=TokenReviewSpec:2 status=TokenReviewStatus:3
TokenReviewSpec: audiences=[s]:2 token=s:1
TokenReviewStatus: audiences=[s]:4 authenticated=b:1 error=s:3 user=UserInfo:2
UserInfo: extra={[s]}:4 groups=[s]:3 uid=s:2 username=s:1
# authorization io.k8s.api.authorization.v1
FieldSelectorAttributes: rawSelector=s:1 requirements=[meta.FieldSelectorRequirement]:2
LabelSelectorAttributes: rawSelector=s:1 requirements=[meta.LabelSelectorRequirement]:2
LocalSubjectAccessReview: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec!=SubjectAccessReviewSpec:2 status=SubjectAccessReviewStatus:3
NonResourceAttributes: path=s:1 verb=s:2
NonResourceRule: nonResourceURLs=[s]:2 verbs!=[s]:1
ResourceAttributes: fieldSelector=FieldSelectorAttributes:8 group=s:3 labelSelector=LabelSelectorAttributes:9 name=s:7 namespace=s:1 resource=s:5 subresource=s:6 verb=s:2 version=s:4
ResourceRule: apiGroups=[s]:2 resourceNames=[s]:4 resources=[s]:3 verbs!=[s]:1
SelfSubjectAccessReview: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec!=SelfSubjectAccessReviewSpec:2 status=SubjectAccessReviewStatus:3
SelfSubjectAccessReviewSpec: nonResourceAttributes=NonResourceAttributes:2 resourceAttributes=ResourceAttributes:1
SelfSubjectRulesReview: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec!=SelfSubjectRulesReviewSpec:2 status=SubjectRulesReviewStatus:3
SelfSubjectRulesReviewSpec: namespace=s:1
SubjectAccessReview: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec!=SubjectAccessReviewSpec:2 status=SubjectAccessReviewStatus:3
SubjectAccessReviewSpec: extra={[s]}:5 groups=[s]:4 nonResourceAttributes=NonResourceAttributes:2 resourceAttributes=ResourceAttributes:1 uid=s:6 user=s:3
SubjectAccessReviewStatus: allowed!=b:1 denied=b:4 evaluationError=s:3 reason=s:2
SubjectRulesReviewStatus: evaluationError=s:4 incomplete!=b:3 nonResourceRules!=[NonResourceRule]:2 resourceRules!=[ResourceRule]:1
# certificates io.k8s.api.certificates.v1
CertificateSigningRequest: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec!=CertificateSigningRequestSpec:2 status=CertificateSigningRequestStatus:3
CertificateSigningRequestCondition: lastTransitionTime=t:5 lastUpdateTime=t:4 message=s:3 reason=s:2 status!=s:6 type!=s:1
CertificateSigningRequestList: apiVersion=s items!=[CertificateSigningRequest]:2 kind=s metadata=meta.ListMeta:1
CertificateSigningRequestSpec: expirationSeconds=i:8 extra={[s]}:6 groups=[s]:4 request!=y:1 signerName!=s:7 uid=s:3 usages=[s]:5 username=s:2
CertificateSigningRequestStatus: certificate=y:2 conditions=[CertificateSigningRequestCondition]:1@type
`;
