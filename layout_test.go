package tongma_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/tongma/tongma"

// mayImport is who may import whom, of our own packages (DESIGN.md section 2). A
// folder stands for all below it. To change it, write the decision first.
var mayImport = []struct {
	folder string
	ours   []string
}{
	{".", nil},
	{"codespec", []string{".", "codespec"}},
	{"schemes", []string{".", "codespec", "schemes"}},
	{"clearing/journal", []string{"clearing/journal"}}, // knows batches of bytes, and nothing of what they say
	{"clearing/dispute", []string{"."}},                // pure: who may say what next, and what it does to the money
	{"clearing/exchange", []string{"."}},               // pure: rates and what is left over
	{"clearing", []string{".", "schemes", "clearing"}},
	{"switch/bus", []string{".", "switch/bus"}},
	{"switch", []string{".", "codespec", "schemes", "clearing", "switch"}},
	{"adapters", []string{".", "schemes", "schemes/keyring"}}, // and itself, but no other adapter
	{"conformance/crash", nil},                                // tests only
	{"conformance/cluster", nil},                              // tests only
	{"conformance/shards", nil},                               // tests only
	{"conformance", []string{".", "codespec", "schemes", "conformance"}},
	{"cmd/tongma", []string{".", "codespec", "schemes", "clearing", "switch", "adapters", "conformance"}},
	{"tools", nil},
}

// topFolders are the folders of the root. An eighth needs a decision record.
var topFolders = []string{"adapters", "clearing", "cmd", "codespec", "conformance", "docs", "schema", "schemes", "switch", "tools"}

func below(dir, folder string) bool {
	return dir == folder || (folder != "." && strings.HasPrefix(dir, folder+"/"))
}

func TestImportsPointDown(t *testing.T) {
	seen := 0
	walkGo(t, func(file string) {
		if strings.HasSuffix(file, "_test.go") {
			return // a test may bring in whatever it needs
		}
		dir := path.Dir(file)
		for _, imported := range importsOf(t, file) {
			seen++
			if !allowed(dir, imported) {
				t.Errorf("%s imports %s: DESIGN.md section 2 does not allow it", file, imported)
			}
		}
	})
	if seen < 50 {
		t.Fatalf("looked at %d imports only", seen)
	}
}

func allowed(dir, imported string) bool {
	for _, row := range mayImport {
		if !below(dir, row.folder) {
			continue
		}
		if row.folder == "adapters" && below(imported, "adapters") {
			return strings.Join(strings.SplitN(dir, "/", 3)[:2], "/") == strings.Join(strings.SplitN(imported+"//", "/", 3)[:2], "/")
		}
		return slices.ContainsFunc(row.ours, func(ok string) bool { return below(imported, ok) })
	}
	return false
}

func TestFoldersAreThoseOfTheDesign(t *testing.T) {
	dirs, err := filepath.Glob("*/")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		name := strings.TrimSuffix(filepath.ToSlash(dir), "/")
		if name != "bin" && name != "data" && !slices.Contains(topFolders, name) {
			t.Errorf("folder %s is not in DESIGN.md section 2", name)
		}
	}
	for _, banned := range []string{"internal", "pkg", "util", "utils", "common"} {
		if found, _ := filepath.Glob("*/" + banned); len(found) > 0 {
			t.Errorf("%v: no such folder here", found)
		}
	}
}

func walkGo(t *testing.T, see func(file string)) {
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == ".git" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(p, ".go") {
			see(filepath.ToSlash(p))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// importsOf returns the folders of our own packages that a file imports.
func importsOf(t *testing.T, file string) (ours []string) {
	f, err := parser.ParseFile(token.NewFileSet(), filepath.FromSlash(file), nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range f.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		if p == module {
			ours = append(ours, ".")
		} else if rest, ok := strings.CutPrefix(p, module+"/"); ok {
			ours = append(ours, rest)
		}
	}
	return ours
}
