# Beside the flow: the results as an RO-Crate, with all that lies in their folder when it is made.


rule crate:
    input:
        rules.all.input,
    output:
        "<results>/ro-crate-metadata.json",
    log:
        "<logs>/crate.log",
    benchmark:
        "<benchmarks>/crate.tsv"
    params:
        settings=settings("crate"),
        code=code("crate"),
        results=lambda wildcards, output: os.path.dirname(output[0]),
        workflow=shipped_folder(),
    shell:
        "ctcascade crate --settings {params.settings:q} --results {params.results:q} --workflow {params.workflow:q}"
        " 2> {log:q}"
