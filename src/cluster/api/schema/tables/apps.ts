// Types of Kubernetes 1.32 in the notation of ../notation.ts; written by ../generate_tables.ts.

export const APPS_TYPES = `
# apps io.k8s.api.apps.v1
ControllerRevision: apiVersion=s data=o kind=s metadata=meta.ObjectMeta revision!=l
ControllerRevisionList: apiVersion=s items!=[ControllerRevision] kind=s metadata=meta.ListMeta
DaemonSet: apiVersion=s kind=s metadata=meta.ObjectMeta spec=DaemonSetSpec status=DaemonSetStatus
DaemonSetCondition: lastTransitionTime=t message=s reason=s status!=s type!=s
DaemonSetList: apiVersion=s items!=[DaemonSet] kind=s metadata=meta.ListMeta
DaemonSetSpec: minReadySeconds=i revisionHistoryLimit=i selector!=meta.LabelSelector template!=core.PodTemplateSpec updateStrategy=DaemonSetUpdateStrategy
DaemonSetStatus: collisionCount=i conditions=[DaemonSetCondition]@type~type currentNumberScheduled!=i desiredNumberScheduled!=i numberAvailable=i numberMisscheduled!=i numberReady!=i numberUnavailable=i observedGeneration=l updatedNumberScheduled=i
DaemonSetUpdateStrategy: rollingUpdate=RollingUpdateDaemonSet type=s
Deployment: apiVersion=s kind=s metadata=meta.ObjectMeta spec=DeploymentSpec status=DeploymentStatus
DeploymentCondition: lastTransitionTime=t lastUpdateTime=t message=s reason=s status!=s type!=s
DeploymentList: apiVersion=s items!=[Deployment] kind=s metadata=meta.ListMeta
DeploymentSpec: minReadySeconds=i paused=b progressDeadlineSeconds=i replicas=i revisionHistoryLimit=i selector!=meta.LabelSelector strategy=DeploymentStrategy^ template!=core.PodTemplateSpec
DeploymentStatus: availableReplicas=i collisionCount=i conditions=[DeploymentCondition]@type~type observedGeneration=l readyReplicas=i replicas=i unavailableReplicas=i updatedReplicas=i
DeploymentStrategy: rollingUpdate=RollingUpdateDeployment type=s
ReplicaSet: apiVersion=s kind=s metadata=meta.ObjectMeta spec=ReplicaSetSpec status=ReplicaSetStatus
ReplicaSetCondition: lastTransitionTime=t message=s reason=s status!=s type!=s
ReplicaSetList: apiVersion=s items!=[ReplicaSet] kind=s metadata=meta.ListMeta
ReplicaSetSpec: minReadySeconds=i replicas=i selector!=meta.LabelSelector template=core.PodTemplateSpec
ReplicaSetStatus: availableReplicas=i conditions=[ReplicaSetCondition]@type~type fullyLabeledReplicas=i observedGeneration=l readyReplicas=i replicas!=i
RollingUpdateDaemonSet: maxSurge=x maxUnavailable=x
RollingUpdateDeployment: maxSurge=x maxUnavailable=x
RollingUpdateStatefulSetStrategy: maxUnavailable=x partition=i
StatefulSet: apiVersion=s kind=s metadata=meta.ObjectMeta spec=StatefulSetSpec status=StatefulSetStatus
StatefulSetCondition: lastTransitionTime=t message=s reason=s status!=s type!=s
StatefulSetList: apiVersion=s items!=[StatefulSet] kind=s metadata=meta.ListMeta
StatefulSetOrdinals: start=i
StatefulSetPersistentVolumeClaimRetentionPolicy: whenDeleted=s whenScaled=s
StatefulSetSpec: minReadySeconds=i ordinals=StatefulSetOrdinals persistentVolumeClaimRetentionPolicy=StatefulSetPersistentVolumeClaimRetentionPolicy podManagementPolicy=s replicas=i revisionHistoryLimit=i selector!=meta.LabelSelector serviceName!=s template!=core.PodTemplateSpec updateStrategy=StatefulSetUpdateStrategy volumeClaimTemplates=[core.PersistentVolumeClaim]
StatefulSetStatus: availableReplicas=i collisionCount=i conditions=[StatefulSetCondition]@type~type currentReplicas=i currentRevision=s observedGeneration=l readyReplicas=i replicas!=i updateRevision=s updatedReplicas=i
StatefulSetUpdateStrategy: rollingUpdate=RollingUpdateStatefulSetStrategy type=s
# batch io.k8s.api.batch.v1
CronJob: apiVersion=s kind=s metadata=meta.ObjectMeta spec=CronJobSpec status=CronJobStatus
CronJobList: apiVersion=s items!=[CronJob] kind=s metadata=meta.ListMeta
CronJobSpec: concurrencyPolicy=s failedJobsHistoryLimit=i jobTemplate!=JobTemplateSpec schedule!=s startingDeadlineSeconds=l successfulJobsHistoryLimit=i suspend=b timeZone=s
CronJobStatus: active=[core.ObjectReference] lastScheduleTime=t lastSuccessfulTime=t
Job: apiVersion=s kind=s metadata=meta.ObjectMeta spec=JobSpec status=JobStatus
JobCondition: lastProbeTime=t lastTransitionTime=t message=s reason=s status!=s type!=s
JobList: apiVersion=s items!=[Job] kind=s metadata=meta.ListMeta
JobSpec: activeDeadlineSeconds=l backoffLimit=i backoffLimitPerIndex=i completionMode=s completions=i managedBy=s manualSelector=b maxFailedIndexes=i parallelism=i podFailurePolicy=PodFailurePolicy podReplacementPolicy=s selector=meta.LabelSelector successPolicy=SuccessPolicy suspend=b template!=core.PodTemplateSpec ttlSecondsAfterFinished=i
JobStatus: active=i completedIndexes=s completionTime=t conditions=[JobCondition]~type failed=i failedIndexes=s ready=i startTime=t succeeded=i terminating=i uncountedTerminatedPods=UncountedTerminatedPods
JobTemplateSpec: metadata=meta.ObjectMeta spec=JobSpec
PodFailurePolicy: rules!=[PodFailurePolicyRule]
PodFailurePolicyOnExitCodesRequirement: containerName=s operator!=s values!=[i]+
PodFailurePolicyOnPodConditionsPattern: status!=s type!=s
PodFailurePolicyRule: action!=s onExitCodes=PodFailurePolicyOnExitCodesRequirement onPodConditions=[PodFailurePolicyOnPodConditionsPattern]
SuccessPolicy: rules!=[SuccessPolicyRule]
SuccessPolicyRule: succeededCount=i succeededIndexes=s
UncountedTerminatedPods: failed=[s]+ succeeded=[s]+
# autoscaling io.k8s.api.autoscaling.v2
ContainerResourceMetricSource: container!=s name!=s target!=MetricTarget
ContainerResourceMetricStatus: container!=s current!=MetricValueStatus name!=s
CrossVersionObjectReference: apiVersion=s kind!=s name!=s
ExternalMetricSource: metric!=MetricIdentifier target!=MetricTarget
ExternalMetricStatus: current!=MetricValueStatus metric!=MetricIdentifier
HPAScalingPolicy: periodSeconds!=i type!=s value!=i
HPAScalingRules: policies=[HPAScalingPolicy] selectPolicy=s stabilizationWindowSeconds=i
HorizontalPodAutoscaler: apiVersion=s kind=s metadata=meta.ObjectMeta spec=HorizontalPodAutoscalerSpec status=HorizontalPodAutoscalerStatus
HorizontalPodAutoscalerBehavior: scaleDown=HPAScalingRules scaleUp=HPAScalingRules
HorizontalPodAutoscalerCondition: lastTransitionTime=t message=s reason=s status!=s type!=s
HorizontalPodAutoscalerList: apiVersion=s items!=[HorizontalPodAutoscaler] kind=s metadata=meta.ListMeta
HorizontalPodAutoscalerSpec: behavior=HorizontalPodAutoscalerBehavior maxReplicas!=i metrics=[MetricSpec] minReplicas=i scaleTargetRef!=CrossVersionObjectReference
HorizontalPodAutoscalerStatus: conditions=[HorizontalPodAutoscalerCondition]@type~type currentMetrics=[MetricStatus] currentReplicas=i desiredReplicas!=i lastScaleTime=t observedGeneration=l
MetricIdentifier: name!=s selector=meta.LabelSelector
MetricSpec: containerResource=ContainerResourceMetricSource external=ExternalMetricSource object=ObjectMetricSource pods=PodsMetricSource resource=ResourceMetricSource type!=s
MetricStatus: containerResource=ContainerResourceMetricStatus external=ExternalMetricStatus object=ObjectMetricStatus pods=PodsMetricStatus resource=ResourceMetricStatus type!=s
MetricTarget: averageUtilization=i averageValue=q type!=s value=q
MetricValueStatus: averageUtilization=i averageValue=q value=q
ObjectMetricSource: describedObject!=CrossVersionObjectReference metric!=MetricIdentifier target!=MetricTarget
ObjectMetricStatus: current!=MetricValueStatus describedObject!=CrossVersionObjectReference metric!=MetricIdentifier
PodsMetricSource: metric!=MetricIdentifier target!=MetricTarget
PodsMetricStatus: current!=MetricValueStatus metric!=MetricIdentifier
ResourceMetricSource: name!=s target!=MetricTarget
ResourceMetricStatus: current!=MetricValueStatus name!=s
# autoscalingv1 io.k8s.api.autoscaling.v1
CrossVersionObjectReference%: apiVersion=s kind!=s name!=s
HorizontalPodAutoscaler: apiVersion=s kind=s metadata=meta.ObjectMeta spec=HorizontalPodAutoscalerSpec status=HorizontalPodAutoscalerStatus
HorizontalPodAutoscalerList: apiVersion=s items!=[HorizontalPodAutoscaler] kind=s metadata=meta.ListMeta
HorizontalPodAutoscalerSpec: maxReplicas!=i minReplicas=i scaleTargetRef!=CrossVersionObjectReference targetCPUUtilizationPercentage=i
HorizontalPodAutoscalerStatus: currentCPUUtilizationPercentage=i currentReplicas!=i desiredReplicas!=i lastScaleTime=t observedGeneration=l
Scale: apiVersion=s kind=s metadata=meta.ObjectMeta spec=ScaleSpec status=ScaleStatus
ScaleSpec: replicas=i
ScaleStatus: replicas!=i selector=s
# policy io.k8s.api.policy.v1
Eviction: apiVersion=s deleteOptions=meta.DeleteOptions kind=s metadata=meta.ObjectMeta
PodDisruptionBudget: apiVersion=s kind=s metadata=meta.ObjectMeta spec=PodDisruptionBudgetSpec status=PodDisruptionBudgetStatus
PodDisruptionBudgetList: apiVersion=s items!=[PodDisruptionBudget] kind=s metadata=meta.ListMeta
PodDisruptionBudgetSpec: maxUnavailable=x minAvailable=x selector=meta.LabelSelector unhealthyPodEvictionPolicy=s
PodDisruptionBudgetStatus: conditions=[meta.Condition]@type~type currentHealthy!=i desiredHealthy!=i disruptedPods={t} disruptionsAllowed!=i expectedPods!=i observedGeneration=l
`;
