// Types of Kubernetes 1.32 in the notation of ../notation.ts; written by ../generate_tables.ts.

export const APPS_TYPES = `
# apps io.k8s.api.apps.v1
ControllerRevision: apiVersion=s data=o:2 kind=s metadata=meta.ObjectMeta:1 revision!=l:3
ControllerRevisionList: apiVersion=s items!=[ControllerRevision]:2 kind=s metadata=meta.ListMeta:1
DaemonSet: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec=DaemonSetSpec:2 status=DaemonSetStatus:3
DaemonSetCondition: lastTransitionTime=t:3 message=s:5 reason=s:4 status!=s:2 type!=s:1
DaemonSetList: apiVersion=s items!=[DaemonSet]:2 kind=s metadata=meta.ListMeta:1
DaemonSetSpec: minReadySeconds=i:4 revisionHistoryLimit=i:6 selector!=meta.LabelSelector:1 template!=core.PodTemplateSpec:2 updateStrategy=DaemonSetUpdateStrategy:3
DaemonSetStatus: collisionCount=i:9 conditions=[DaemonSetCondition]:10@type~type currentNumberScheduled!=i:1 desiredNumberScheduled!=i:3 numberAvailable=i:7 numberMisscheduled!=i:2 numberReady!=i:4 numberUnavailable=i:8 observedGeneration=l:5 updatedNumberScheduled=i:6
DaemonSetUpdateStrategy: rollingUpdate=RollingUpdateDaemonSet:2 type=s:1
Deployment: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec=DeploymentSpec:2 status=DeploymentStatus:3
DeploymentCondition: lastTransitionTime=t:7 lastUpdateTime=t:6 message=s:5 reason=s:4 status!=s:2 type!=s:1
DeploymentList: apiVersion=s items!=[Deployment]:2 kind=s metadata=meta.ListMeta:1
DeploymentSpec: minReadySeconds=i:5 paused=b:7 progressDeadlineSeconds=i:9 replicas=i:1 revisionHistoryLimit=i:6 selector!=meta.LabelSelector:2 strategy=DeploymentStrategy:4^ template!=core.PodTemplateSpec:3
DeploymentStatus: availableReplicas=i:4 collisionCount=i:8 conditions=[DeploymentCondition]:6@type~type observedGeneration=l:1 readyReplicas=i:7 replicas=i:2 unavailableReplicas=i:5 updatedReplicas=i:3
DeploymentStrategy: rollingUpdate=RollingUpdateDeployment:2 type=s:1
ReplicaSet: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec=ReplicaSetSpec:2 status=ReplicaSetStatus:3
ReplicaSetCondition: lastTransitionTime=t:3 message=s:5 reason=s:4 status!=s:2 type!=s:1
ReplicaSetList: apiVersion=s items!=[ReplicaSet]:2 kind=s metadata=meta.ListMeta:1
ReplicaSetSpec: minReadySeconds=i:4 replicas=i:1 selector!=meta.LabelSelector:2 template=core.PodTemplateSpec:3
ReplicaSetStatus: availableReplicas=i:5 conditions=[ReplicaSetCondition]:6@type~type fullyLabeledReplicas=i:2 observedGeneration=l:3 readyReplicas=i:4 replicas!=i:1
RollingUpdateDaemonSet: maxSurge=x:2 maxUnavailable=x:1
RollingUpdateDeployment: maxSurge=x:2 maxUnavailable=x:1
RollingUpdateStatefulSetStrategy: maxUnavailable=x:2 partition=i:1
StatefulSet: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec=StatefulSetSpec:2 status=StatefulSetStatus:3
StatefulSetCondition: lastTransitionTime=t:3 message=s:5 reason=s:4 status!=s:2 type!=s:1
StatefulSetList: apiVersion=s items!=[StatefulSet]:2 kind=s metadata=meta.ListMeta:1
StatefulSetOrdinals: start=i:1
StatefulSetPersistentVolumeClaimRetentionPolicy: whenDeleted=s:1 whenScaled=s:2
StatefulSetSpec: minReadySeconds=i:9 ordinals=StatefulSetOrdinals:11 persistentVolumeClaimRetentionPolicy=StatefulSetPersistentVolumeClaimRetentionPolicy:10 podManagementPolicy=s:6 replicas=i:1 revisionHistoryLimit=i:8 selector!=meta.LabelSelector:2 serviceName!=s:5 template!=core.PodTemplateSpec:3 updateStrategy=StatefulSetUpdateStrategy:7 volumeClaimTemplates=[core.PersistentVolumeClaim]:4
StatefulSetStatus: availableReplicas=i:11 collisionCount=i:9 conditions=[StatefulSetCondition]:10@type~type currentReplicas=i:4 currentRevision=s:6 observedGeneration=l:1 readyReplicas=i:3 replicas!=i:2 updateRevision=s:7 updatedReplicas=i:5
StatefulSetUpdateStrategy: rollingUpdate=RollingUpdateStatefulSetStrategy:2 type=s:1
# batch io.k8s.api.batch.v1
CronJob: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec=CronJobSpec:2 status=CronJobStatus:3
CronJobList: apiVersion=s items!=[CronJob]:2 kind=s metadata=meta.ListMeta:1
CronJobSpec: concurrencyPolicy=s:3 failedJobsHistoryLimit=i:7 jobTemplate!=JobTemplateSpec:5 schedule!=s:1 startingDeadlineSeconds=l:2 successfulJobsHistoryLimit=i:6 suspend=b:4 timeZone=s:8
CronJobStatus: active=[core.ObjectReference]:1 lastScheduleTime=t:4 lastSuccessfulTime=t:5
Job: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec=JobSpec:2 status=JobStatus:3
JobCondition: lastProbeTime=t:3 lastTransitionTime=t:4 message=s:6 reason=s:5 status!=s:2 type!=s:1
JobList: apiVersion=s items!=[Job]:2 kind=s metadata=meta.ListMeta:1
JobSpec: activeDeadlineSeconds=l:3 backoffLimit=i:7 backoffLimitPerIndex=i:12 completionMode=s:9 completions=i:2 managedBy=s:15 manualSelector=b:5 maxFailedIndexes=i:13 parallelism=i:1 podFailurePolicy=PodFailurePolicy:11 podReplacementPolicy=s:14 selector=meta.LabelSelector:4 successPolicy=SuccessPolicy:16 suspend=b:10 template!=core.PodTemplateSpec:6 ttlSecondsAfterFinished=i:8
JobStatus: active=i:4 completedIndexes=s:7 completionTime=t:3 conditions=[JobCondition]:1~type failed=i:6 failedIndexes=s:10 ready=i:9 startTime=t:2 succeeded=i:5 terminating=i:11 uncountedTerminatedPods=UncountedTerminatedPods:8
JobTemplateSpec: metadata=meta.ObjectMeta:1 spec=JobSpec:2
PodFailurePolicy: rules!=[PodFailurePolicyRule]:1
PodFailurePolicyOnExitCodesRequirement: containerName=s:1 operator!=s:2 values!=[i]:3+
PodFailurePolicyOnPodConditionsPattern: status!=s:2 type!=s:1
PodFailurePolicyRule: action!=s:1 onExitCodes=PodFailurePolicyOnExitCodesRequirement:2 onPodConditions=[PodFailurePolicyOnPodConditionsPattern]:3
SuccessPolicy: rules!=[SuccessPolicyRule]:1
SuccessPolicyRule: succeededCount=i:2 succeededIndexes=s:1
UncountedTerminatedPods: failed=[s]:2+ succeeded=[s]:1+
# autoscaling io.k8s.api.autoscaling.v2
ContainerResourceMetricSource: container!=s:3 name!=s:1 target!=MetricTarget:2
ContainerResourceMetricStatus: container!=s:3 current!=MetricValueStatus:2 name!=s:1
CrossVersionObjectReference: apiVersion=s:3 kind!=s:1 name!=s:2
ExternalMetricSource: metric!=MetricIdentifier:1 target!=MetricTarget:2
ExternalMetricStatus: current!=MetricValueStatus:2 metric!=MetricIdentifier:1
HPAScalingPolicy: periodSeconds!=i:3 type!=s:1 value!=i:2
HPAScalingRules: policies=[HPAScalingPolicy]:2 selectPolicy=s:1 stabilizationWindowSeconds=i:3
HorizontalPodAutoscaler: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec=HorizontalPodAutoscalerSpec:2 status=HorizontalPodAutoscalerStatus:3
HorizontalPodAutoscalerBehavior: scaleDown=HPAScalingRules:2 scaleUp=HPAScalingRules:1
HorizontalPodAutoscalerCondition: lastTransitionTime=t:3 message=s:5 reason=s:4 status!=s:2 type!=s:1
HorizontalPodAutoscalerList: apiVersion=s items!=[HorizontalPodAutoscaler]:2 kind=s metadata=meta.ListMeta:1
HorizontalPodAutoscalerSpec: behavior=HorizontalPodAutoscalerBehavior:5 maxReplicas!=i:3 metrics=[MetricSpec]:4 minReplicas=i:2 scaleTargetRef!=CrossVersionObjectReference:1
HorizontalPodAutoscalerStatus: conditions=[HorizontalPodAutoscalerCondition]:6@type~type currentMetrics=[MetricStatus]:5 currentReplicas=i:3 desiredReplicas!=i:4 lastScaleTime=t:2 observedGeneration=l:1
MetricIdentifier: name!=s:1 selector=meta.LabelSelector:2
MetricSpec: containerResource=ContainerResourceMetricSource:7 external=ExternalMetricSource:5 object=ObjectMetricSource:2 pods=PodsMetricSource:3 resource=ResourceMetricSource:4 type!=s:1
MetricStatus: containerResource=ContainerResourceMetricStatus:7 external=ExternalMetricStatus:5 object=ObjectMetricStatus:2 pods=PodsMetricStatus:3 resource=ResourceMetricStatus:4 type!=s:1
MetricTarget: averageUtilization=i:4 averageValue=q:3 type!=s:1 value=q:2
MetricValueStatus: averageUtilization=i:3 averageValue=q:2 value=q:1
ObjectMetricSource: describedObject!=CrossVersionObjectReference:1 metric!=MetricIdentifier:3 target!=MetricTarget:2
ObjectMetricStatus: current!=MetricValueStatus:2 describedObject!=CrossVersionObjectReference:3 metric!=MetricIdentifier:1
PodsMetricSource: metric!=MetricIdentifier:1 target!=MetricTarget:2
PodsMetricStatus: current!=MetricValueStatus:2 metric!=MetricIdentifier:1
ResourceMetricSource: name!=s:1 target!=MetricTarget:2
ResourceMetricStatus: current!=MetricValueStatus:2 name!=s:1
# autoscalingv1 io.k8s.api.autoscaling.v1
CrossVersionObjectReference%: apiVersion=s:3 kind!=s:1 name!=s:2
HorizontalPodAutoscaler: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec=HorizontalPodAutoscalerSpec:2 status=HorizontalPodAutoscalerStatus:3
HorizontalPodAutoscalerList: apiVersion=s items!=[HorizontalPodAutoscaler]:2 kind=s metadata=meta.ListMeta:1
HorizontalPodAutoscalerSpec: maxReplicas!=i:3 minReplicas=i:2 scaleTargetRef!=CrossVersionObjectReference:1 targetCPUUtilizationPercentage=i:4
HorizontalPodAutoscalerStatus: currentCPUUtilizationPercentage=i:5 currentReplicas!=i:3 desiredReplicas!=i:4 lastScaleTime=t:2 observedGeneration=l:1
Scale: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec=ScaleSpec:2 status=ScaleStatus:3
ScaleSpec: replicas=i:1
ScaleStatus: replicas!=i:1 selector=s:2
# policy io.k8s.api.policy.v1
Eviction: apiVersion=s deleteOptions=meta.DeleteOptions:2 kind=s metadata=meta.ObjectMeta:1
PodDisruptionBudget: apiVersion=s kind=s metadata=meta.ObjectMeta:1 spec=PodDisruptionBudgetSpec:2 status=PodDisruptionBudgetStatus:3
PodDisruptionBudgetList: apiVersion=s items!=[PodDisruptionBudget]:2 kind=s metadata=meta.ListMeta:1
PodDisruptionBudgetSpec: maxUnavailable=x:3 minAvailable=x:1 selector=meta.LabelSelector:2 unhealthyPodEvictionPolicy=s:4
PodDisruptionBudgetStatus: conditions=[meta.Condition]:7@type~type currentHealthy!=i:4 desiredHealthy!=i:5 disruptedPods={t}:2 disruptionsAllowed!=i:3 expectedPods!=i:6 observedGeneration=l:1
`;
