// Judges manifests as an API server does before it stores them: strict decoding, defaults, validation, and the Pod
// Security Standard "restricted".
//
// Reads YAML documents, prints a line for each fault, and ends with 1 where there was one. Kinds of
// operators are passed over: their schemas are in kube_schemas.py.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/yaml"

	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/autoscaling"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	autoscalingvalidation "k8s.io/kubernetes/pkg/apis/autoscaling/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/networking"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	networkingvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"
	"k8s.io/kubernetes/pkg/apis/policy"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	policyvalidation "k8s.io/kubernetes/pkg/apis/policy/validation"
	podsecurity "k8s.io/pod-security-admission/api"
	podpolicy "k8s.io/pod-security-admission/policy"
)

// standard is what a namespace labelled pod-security.kubernetes.io/enforce=restricted demands.
var standard = podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}

// faults returns what the API server would refuse an object of ours for.
func faults(object runtime.Object) (field.ErrorList, error) {
	pods := corevalidation.PodValidationOptions{}
	switch made := object.(type) {
	case *apps.StatefulSet:
		return appsvalidation.ValidateStatefulSet(made, appsvalidation.StatefulSetValidationOptions{}, pods), nil
	case *apps.Deployment:
		return appsvalidation.ValidateDeployment(made, pods), nil
	case *core.Pod:
		return corevalidation.ValidatePodCreate(made, pods), nil
	case *core.Service:
		return corevalidation.ValidateServiceCreate(made), nil
	case *core.ConfigMap:
		return corevalidation.ValidateConfigMap(made), nil
	case *core.ServiceAccount:
		return corevalidation.ValidateServiceAccount(made), nil
	case *networking.NetworkPolicy:
		return networkingvalidation.ValidateNetworkPolicy(made, networkingvalidation.NetworkPolicyValidationOptions{}), nil
	case *policy.PodDisruptionBudget:
		return policyvalidation.ValidatePodDisruptionBudget(made, policyvalidation.PodDisruptionBudgetValidationOptions{}), nil
	case *autoscaling.HorizontalPodAutoscaler:
		return autoscalingvalidation.ValidateHorizontalPodAutoscaler(made, autoscalingvalidation.HorizontalPodAutoscalerSpecValidationOptions{}), nil
	}
	return nil, fmt.Errorf("%T: this program does not judge such objects; add its validation", object)
}

// complete does what the API server does between decoding and validation.
func complete(object runtime.Object) error {
	about, err := meta.Accessor(object)
	if err != nil {
		return err
	}
	about.SetNamespace("shop")
	if service, ok := object.(*core.Service); ok && service.Spec.ClusterIP != "" {
		service.Spec.ClusterIPs = []string{service.Spec.ClusterIP}
	}
	return nil
}

// insecurity returns why such a namespace would refuse the pods of an object.
func insecurity(text []byte) error {
	object, _, err := legacyscheme.Codecs.UniversalDeserializer().Decode(text, nil, nil)
	if err != nil {
		return err
	}
	var pod corev1.PodTemplateSpec
	switch made := object.(type) {
	case *appsv1.StatefulSet:
		pod = made.Spec.Template
	case *appsv1.Deployment:
		pod = made.Spec.Template
	case *corev1.Pod:
		pod.ObjectMeta, pod.Spec = made.ObjectMeta, made.Spec
	default:
		return nil
	}
	evaluator, err := podpolicy.NewEvaluator(podpolicy.DefaultChecks(), nil)
	if err != nil {
		return err
	}
	result := podpolicy.AggregateCheckResults(evaluator.EvaluatePod(standard, &pod.ObjectMeta, &pod.Spec))
	if !result.Allowed {
		return fmt.Errorf("restricted: %s", result.ForbiddenDetail())
	}
	return nil
}

func judge(document []byte, decoder runtime.Decoder) error {
	text, err := yaml.ToJSON(document)
	if err != nil || string(text) == "null" {
		return err
	}
	object, kind, err := decoder.Decode(text, nil, nil)
	if runtime.IsNotRegisteredError(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := complete(object); err != nil {
		return err
	}
	found, err := faults(object)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return fmt.Errorf("%s: %w", kind.Kind, found.ToAggregate())
	}
	return insecurity(text)
}

func main() {
	decoder := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict).UniversalDecoder()
	documents := yaml.NewYAMLReader(bufio.NewReader(os.Stdin))
	code := 0
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			os.Exit(code)
		}
		if err == nil {
			err = judge(document, decoder)
		}
		if err != nil {
			fmt.Println(err)
			code = 1
		}
	}
}
