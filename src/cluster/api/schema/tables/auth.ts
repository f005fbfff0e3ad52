// Types of Kubernetes 1.32 in the notation of ../notation.ts; written by ../generate_tables.ts.

export const AUTH_TYPES = `
# rbac io.k8s.api.rbac.v1
AggregationRule: clusterRoleSelectors=[meta.LabelSelector]
ClusterRole: aggregationRule=AggregationRule apiVersion=s kind=s metadata=meta.ObjectMeta rules=[PolicyRule]
ClusterRoleBinding: apiVersion=s kind=s metadata=meta.ObjectMeta roleRef!=RoleRef subjects=[Subject]
ClusterRoleBindingList: apiVersion=s items!=[ClusterRoleBinding] kind=s metadata=meta.ListMeta
ClusterRoleList: apiVersion=s items!=[ClusterRole] kind=s metadata=meta.ListMeta
PolicyRule: apiGroups=[s] nonResourceURLs=[s] resourceNames=[s] resources=[s] verbs!=[s]
Role: apiVersion=s kind=s metadata=meta.ObjectMeta rules=[PolicyRule]
RoleBinding: apiVersion=s kind=s metadata=meta.ObjectMeta roleRef!=RoleRef subjects=[Subject]
RoleBindingList: apiVersion=s items!=[RoleBinding] kind=s metadata=meta.ListMeta
RoleList: apiVersion=s items!=[Role] kind=s metadata=meta.ListMeta
RoleRef%: apiGroup!=s kind!=s name!=s
Subject%: apiGroup=s kind!=s name!=s namespace=s
# authentication io.k8s.api.authentication.v1
BoundObjectReference: apiVersion=s kind=s name=s uid=s
SelfSubjectReview: apiVersion=s kind=s metadata=meta.ObjectMeta status=SelfSubjectReviewStatus
SelfSubjectReviewStatus: userInfo=UserInfo
TokenRequest: apiVersion=s kind=s metadata=meta.ObjectMeta spec!=TokenRequestSpec status=TokenRequestStatus
TokenRequestSpec: audiences!=[s] boundObjectRef=BoundObjectReference expirationSeconds=l
TokenRequestStatus: expirationTimestamp!=t token!=s
TokenReview: apiVersion=s kind=s metadata=meta.ObjectMeta spec!=TokenReviewSpec status=TokenReviewStatus
TokenReviewSpec: audiences=[s] token=s
TokenReviewStatus: audiences=[s] authenticated=b error=s user=UserInfo
UserInfo: extra={[s]} groups=[s] uid=s username=s
# authorization io.k8s.api.authorization.v1
FieldSelectorAttributes: rawSelector=s requirements=[meta.FieldSelectorRequirement]
LabelSelectorAttributes: rawSelector=s requirements=[meta.LabelSelectorRequirement]
LocalSubjectAccessReview: apiVersion=s kind=s metadata=meta.ObjectMeta spec!=SubjectAccessReviewSpec status=SubjectAccessReviewStatus
NonResourceAttributes: path=s verb=s
NonResourceRule: nonResourceURLs=[s] verbs!=[s]
ResourceAttributes: fieldSelector=FieldSelectorAttributes group=s labelSelector=LabelSelectorAttributes name=s namespace=s resource=s subresource=s verb=s version=s
ResourceRule: apiGroups=[s] resourceNames=[s] resources=[s] verbs!=[s]
SelfSubjectAccessReview: apiVersion=s kind=s metadata=meta.ObjectMeta spec!=SelfSubjectAccessReviewSpec status=SubjectAccessReviewStatus
SelfSubjectAccessReviewSpec: nonResourceAttributes=NonResourceAttributes resourceAttributes=ResourceAttributes
SelfSubjectRulesReview: apiVersion=s kind=s metadata=meta.ObjectMeta spec!=SelfSubjectRulesReviewSpec status=SubjectRulesReviewStatus
SelfSubjectRulesReviewSpec: namespace=s
SubjectAccessReview: apiVersion=s kind=s metadata=meta.ObjectMeta spec!=SubjectAccessReviewSpec status=SubjectAccessReviewStatus
SubjectAccessReviewSpec: extra={[s]} groups=[s] nonResourceAttributes=NonResourceAttributes resourceAttributes=ResourceAttributes uid=s user=s
SubjectAccessReviewStatus: allowed!=b denied=b evaluationError=s reason=s
SubjectRulesReviewStatus: evaluationError=s incomplete!=b nonResourceRules!=[NonResourceRule] resourceRules!=[ResourceRule]
# certificates io.k8s.api.certificates.v1
CertificateSigningRequest: apiVersion=s kind=s metadata=meta.ObjectMeta spec!=CertificateSigningRequestSpec status=CertificateSigningRequestStatus
CertificateSigningRequestCondition: lastTransitionTime=t lastUpdateTime=t message=s reason=s status!=s type!=s
CertificateSigningRequestList: apiVersion=s items!=[CertificateSigningRequest] kind=s metadata=meta.ListMeta
CertificateSigningRequestSpec: expirationSeconds=i extra={[s]} groups=[s] request!=y signerName!=s uid=s usages=[s] username=s
CertificateSigningRequestStatus: certificate=y conditions=[CertificateSigningRequestCondition]@type
`;
