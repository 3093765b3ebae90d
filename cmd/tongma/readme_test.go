package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// documents are those whose console blocks are run as they stand: a line behind
// "$ " is typed into a shell, the lines under it are what it must say, in this
// order, with "…" for anything.
var documents = []string{"README.md", "docs/joining.md", "docs/settlement.md", "docs/sql.md", "docs/exchange.md", "docs/operating.md"}

func TestConsoleBlocksOfTheDocumentsRun(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a market: not with -short")
	}
	bin := buildBinary(t)
	for _, doc := range documents {
		t.Run(doc, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("..", "..", doc))
			if err != nil {
				t.Fatal(err)
			}
			runBlocks(t, bin, string(text))
		})
	}
}

func buildBinary(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "tongma")
	out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// typed is one line of a block and what it must say.
type typed struct {
	line string
	want []string
}

func consoleBlocks(text string) (all []typed) {
	in := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			in = line == "```console"
		case in && strings.HasPrefix(line, "$ "):
			all = append(all, typed{line: line[2:]})
		case in && len(all) > 0 && line != "":
			all[len(all)-1].want = append(all[len(all)-1].want, line)
		}
	}
	return all
}

func runBlocks(t *testing.T, bin, text string) {
	dir := t.TempDir()
	env := append(os.Environ(), "PATH="+filepath.Dir(bin)+":"+os.Getenv("PATH"),
		"TONGMA_HTTP_LISTEN=127.0.0.1:0", "TONGMA_NATS_LISTEN=127.0.0.1:0", "TONGMA_ISO8583_LISTEN=127.0.0.1:0")
	var jobs []*exec.Cmd // as the shell numbers them, from 1
	stop := func(job int) {
		if job < len(jobs) && jobs[job] != nil {
			_ = jobs[job].Process.Signal(os.Interrupt)
			_ = jobs[job].Wait()
			jobs[job] = nil
		}
	}
	defer func() {
		for i := range jobs {
			stop(len(jobs) - 1 - i)
		}
	}()
	blocks := consoleBlocks(text)
	if len(blocks) < 5 {
		t.Fatalf("found %d lines to type", len(blocks))
	}
	for _, b := range blocks {
		if job, ok := strings.CutPrefix(b.line, "kill %"); ok {
			n, err := strconv.Atoi(job)
			if err != nil || n < 1 {
				t.Fatalf("$ %s", b.line)
			}
			stop(n - 1)
			continue
		}
		if line, ok := strings.CutSuffix(b.line, " &"); ok {
			job := slices.Index(jobs, nil)
			if job < 0 {
				job, jobs = len(jobs), append(jobs, nil)
			}
			jobs[job] = start(t, exec.Command(bin, strings.Fields(line)[1:]...), dir, env)
			continue
		}
		if tool := missingTool(b.line); tool != "" {
			t.Logf("%s is not here: not run: %s", tool, b.line)
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		cmd := exec.CommandContext(ctx, "bash", "-c", b.line)
		var out, errs bytes.Buffer
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, &out, &errs
		err := cmd.Run()
		cancel()
		if err != nil {
			t.Fatalf("$ %s\n%v\n%s%s", b.line, err, out.String(), errs.String())
		}
		if missing := notSaid(out.String(), b.want); missing != "" {
			t.Errorf("$ %s\ndoes not say: %s\nbut:\n%s", b.line, missing, out.String())
		}
	}
}

// start starts a job, and returns when it has said on stderr that it is there, and a
// switch answers.
func start(t *testing.T, job *exec.Cmd, dir string, env []string) *exec.Cmd {
	t.Helper()
	spoke := make(chan struct{})
	job.Dir, job.Env, job.Stderr = dir, env, &firstWord{said: spoke}
	if err := job.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-spoke:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s says nothing", job)
	}
	waitForNode(t, filepath.Join(dir, "market", "node.json"))
	return job
}

// firstWord tells when something was written to it.
type firstWord struct {
	once sync.Once
	said chan struct{}
}

// Write implements io.Writer.
func (w *firstWord) Write(p []byte) (int, error) {
	w.once.Do(func() { close(w.said) })
	return len(p), nil
}

// outsideTools are checkers that not every machine has; make test installs them where
// it may.
var outsideTools = []string{"xmllint", "sqlite3"}

func missingTool(line string) string {
	for _, tool := range outsideTools {
		if _, err := exec.LookPath(tool); err != nil && slices.Contains(strings.Fields(line), tool) {
			return tool
		}
	}
	return ""
}

func waitForNode(t *testing.T, file string) {
	for range 200 {
		if _, err := os.Stat(file); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s does not appear", file)
}

// notSaid returns the first wanted line that no line of the output fits, in order.
func notSaid(out string, want []string) string {
	lines := strings.Split(out, "\n")
	for _, w := range want {
		pattern := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(w), "…", ".*") + ".*$")
		found := false
		for len(lines) > 0 && !found {
			found = pattern.MatchString(lines[0])
			lines = lines[1:]
		}
		if !found {
			return w
		}
	}
	return ""
}
