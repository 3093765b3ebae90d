package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// documents are those whose console blocks are run as they stand: a line behind
// "$ " is typed into a shell, the lines under it are what it must say, in this
// order, with "…" for anything.
var documents = []string{"README.md", "docs/settlement.md", "docs/sql.md", "docs/exchange.md"}

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
	env := append(os.Environ(), "PATH="+filepath.Dir(bin)+":"+os.Getenv("PATH"))
	var background *exec.Cmd
	stop := func() {
		if background != nil {
			_ = background.Process.Signal(os.Interrupt)
			_ = background.Wait()
			background = nil
		}
	}
	defer stop()
	blocks := consoleBlocks(text)
	if len(blocks) < 5 {
		t.Fatalf("found %d lines to type", len(blocks))
	}
	for _, b := range blocks {
		if b.line == "kill %1" {
			stop()
			continue
		}
		if line, ok := strings.CutSuffix(b.line, " &"); ok {
			fields := strings.Fields(line)
			background = exec.Command(bin, fields[1:]...)
			background.Dir, background.Env = dir, env
			if err := background.Start(); err != nil {
				t.Fatal(err)
			}
			waitForNode(t, filepath.Join(dir, "market", "node.json"))
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
