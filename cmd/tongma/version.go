package main

import (
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// versionDoc is what a build knows about itself.
type versionDoc struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform,omitempty"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	API      string `json:"api"`
	Modules  int    `json:"modules"`
}

func newVersionCmd(a *app) *cobra.Command {
	var sbom bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Which build this is, and what is in it",
		Example: `  tongma version
  tongma version --json
  tongma version --sbom > tongma.cdx.json`,
		Long: `--sbom writes a CycloneDX 1.6 bill of materials: every module linked into this very program, with the
checksum that the Go module database knows it by.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			info, ok := debug.ReadBuildInfo()
			if !ok {
				return failf(exitFault, "this program carries no build information")
			}
			if sbom {
				a.printJSON(bomOf(info))
				return nil
			}
			v := versionOf(info)
			a.print(v, func(w io.Writer) {
				line := "tongma " + v.Version
				if v.Revision != "" {
					line += " (" + v.Revision[:min(12, len(v.Revision))]
					if v.Modified {
						line += ", modified"
					}
					line += ")"
				}
				fmt.Fprintln(w, line+", "+v.Go+" "+v.Platform)
			})
			return nil
		},
	}
	cmd.Flags().BoolVar(&sbom, "sbom", false, "write a CycloneDX bill of materials")
	return cmd
}

func versionOf(info *debug.BuildInfo) versionDoc {
	set := map[string]string{}
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	v := versionDoc{Version: info.Main.Version, Go: info.GoVersion, Revision: set["vcs.revision"], Time: set["vcs.time"],
		Modified: set["vcs.modified"] == "true", API: "v1", Modules: len(info.Deps)}
	if v.Version == "" {
		v.Version = "(devel)"
	}
	if set["GOOS"] != "" {
		v.Platform = set["GOOS"] + "/" + set["GOARCH"]
	}
	return v
}

// The few members of CycloneDX 1.6 that a Go program can fill truthfully.
type bom struct {
	Format     string         `json:"bomFormat"`
	Spec       string         `json:"specVersion"`
	Version    int            `json:"version"`
	Metadata   bomMetadata    `json:"metadata"`
	Components []bomComponent `json:"components"`
}

type bomMetadata struct {
	Component bomComponent `json:"component"`
}

type bomComponent struct {
	Type       string        `json:"type"`
	Ref        string        `json:"bom-ref"`
	Name       string        `json:"name"`
	Version    string        `json:"version,omitempty"`
	PURL       string        `json:"purl"`
	Properties []bomProperty `json:"properties,omitempty"`
}

type bomProperty struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func bomOf(info *debug.BuildInfo) bom {
	component := func(kind string, m *debug.Module) bomComponent {
		if m.Replace != nil {
			m = m.Replace
		}
		purl := "pkg:golang/" + m.Path
		if m.Version != "" {
			purl += "@" + strings.ReplaceAll(m.Version, "+", "%2B")
		}
		c := bomComponent{Type: kind, Ref: purl, Name: m.Path, Version: m.Version, PURL: purl}
		if m.Sum != "" {
			c.Properties = []bomProperty{{"go:sum", m.Sum}}
		}
		return c
	}
	b := bom{Format: "CycloneDX", Spec: "1.6", Version: 1, Metadata: bomMetadata{component("application", &info.Main)}, Components: []bomComponent{}}
	for _, m := range info.Deps {
		b.Components = append(b.Components, component("library", m))
	}
	b.Components = append(b.Components, component("library", &debug.Module{Path: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go")}))
	slices.SortFunc(b.Components, func(x, y bomComponent) int { return strings.Compare(x.PURL, y.PURL) })
	return b
}
