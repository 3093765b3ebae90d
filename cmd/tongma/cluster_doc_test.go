package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTheClustersOfTheDocumentsRun types the console blocks of documents in which
// several processes run beside each other and are killed by their number. Addresses are
// those of free ports, in place of the document's.
func TestTheClustersOfTheDocumentsRun(t *testing.T) {
	if testing.Short() {
		t.Skip("starts clusters: not with -short")
	}
	for name, processes := range map[string]int{"cluster.md": 6, "shards.md": 9} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			typeIn(t, name, processes)
		})
	}
}

func typeIn(t *testing.T, name string, processes int) {
	t.Helper()
	bin, dir := buildBinary(t), t.TempDir()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "PATH="+filepath.Dir(bin)+":"+os.Getenv("PATH"))
	var jobs []*exec.Cmd
	said := map[*exec.Cmd]*bytes.Buffer{}
	t.Cleanup(func() {
		for i, job := range jobs {
			_ = job.Process.Kill()
			_ = job.Wait()
			if t.Failed() {
				t.Logf("%%%d said:\n%s", i+1, said[job])
			}
		}
	})
	for _, b := range consoleBlocks(withFreePorts(t, string(text))) {
		began := time.Now()
		if signal, number, ok := strings.Cut(b.line, "%"); ok && strings.HasPrefix(signal, "kill ") {
			n, err := strconv.Atoi(number)
			if err != nil || n < 1 || n > len(jobs) {
				t.Fatalf("$ %s: %d jobs", b.line, len(jobs))
			}
			if strings.Contains(signal, "-HUP") { // it goes on
				_ = jobs[n-1].Process.Signal(syscall.SIGHUP)
				continue
			}
			if strings.Contains(signal, "-9") {
				_ = jobs[n-1].Process.Kill()
			} else {
				_ = jobs[n-1].Process.Signal(syscall.SIGTERM)
			}
			_ = jobs[n-1].Wait()
			continue
		}
		var out, errs bytes.Buffer
		if line, background := strings.CutSuffix(b.line, " &"); background {
			job := exec.Command("bash", "-c", "exec "+line) // so that it is the process that is killed
			job.Dir, job.Env, job.Stderr = dir, env, &errs
			if err := job.Start(); err != nil {
				t.Fatal(err)
			}
			jobs, said[job] = append(jobs, job), &errs
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, "bash", "-c", b.line)
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, &out, &errs
		err := cmd.Run()
		cancel()
		if err != nil {
			t.Fatalf("$ %s\n%v\n%s%s", b.line, err, out.String(), errs.String())
		}
		if missing := notSaid(out.String(), b.want); missing != "" {
			t.Errorf("$ %s\ndoes not say: %s\nbut:\n%s", b.line, missing, out.String())
		}
		t.Logf("%5.1f s: %s", time.Since(began).Seconds(), b.line)
	}
	if len(jobs) != processes {
		t.Errorf("%d processes", len(jobs))
	}
}

// withFreePorts puts ports that are free on this machine in the place of a document's.
func withFreePorts(t *testing.T, text string) string {
	t.Helper()
	var pairs []string
	for _, port := range regexp.MustCompile(`127\.0\.0\.1:\d+`).FindAllString(text, -1) {
		if slices.Contains(pairs, port) {
			continue
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		pairs = append(pairs, port, l.Addr().String())
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
