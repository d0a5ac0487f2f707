// Serves custom resources as Kubernetes does, by its own code: the API server of resource definitions, with an etcd in the
// same process. There are no pods, no RBAC and no controllers; whoever shows the token may do everything.
//
// Prints one line of JSON: url, token, and the file of the authority. Ends when its standard input does.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	servertesting "k8s.io/apiextensions-apiserver/pkg/cmd/server/testing"
)

// No server is asked who somebody is.
const nowhere = `
apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
current-context: none
users: [{name: none, user: {}}]
`

type logger struct{}

func (logger) Errorf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (logger) Logf(format string, args ...any)   { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (logger) Fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func startEtcd(folder string) *embed.Etcd {
	anywhere := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	config := embed.NewConfig()
	config.Dir = filepath.Join(folder, "etcd")
	config.LogLevel = "error"
	config.UnsafeNoFsync = true
	config.ListenClientUrls = []url.URL{anywhere}
	config.ListenPeerUrls = []url.URL{anywhere}
	started, err := embed.StartEtcd(config)
	fail(err)
	select {
	case <-started.Server.ReadyNotify():
	case <-time.After(2 * time.Minute):
		fail(fmt.Errorf("etcd does not become ready"))
	}
	return started
}

func main() {
	folder, err := os.MkdirTemp("", "kube-server")
	fail(err)
	defer os.RemoveAll(folder)
	etcd := startEtcd(folder)
	defer etcd.Close()
	config := filepath.Join(folder, "nowhere.yaml")
	fail(os.WriteFile(config, []byte(nowhere), 0o600))
	served, err := servertesting.StartTestServer(logger{}, nil, []string{
		"--etcd-servers", "http://" + etcd.Clients[0].Addr().String(),
		"--authentication-skip-lookup",
		"--authentication-kubeconfig", config,
		"--authorization-kubeconfig", config,
		"--kubeconfig", config,
		"--enable-priority-and-fairness=false",
		"--disable-admission-plugins",
		"NamespaceLifecycle,MutatingAdmissionWebhook,ValidatingAdmissionWebhook,ValidatingAdmissionPolicy,MutatingAdmissionPolicy",
	}, nil)
	fail(err)
	defer served.TearDownFn()
	told, err := json.Marshal(map[string]string{
		"url":   served.ClientConfig.Host,
		"token": served.ClientConfig.BearerToken,
		// What is served to whoever asks by address; its chain ends with the authority.
		"ca": served.ServerOpts.RecommendedOptions.SecureServing.ServerCert.CertKey.CertFile,
	})
	fail(err)
	fmt.Println(string(told))
	_, _ = io.Copy(io.Discard, os.Stdin)
}
