# Beside the flow: phantom CTCs of known number in frames without any, found and called as a sample's are. Once for
# each assay of the sample sheet; the spiked frames are gone when it is done.

LEVELS = range(len(study.settings.recovery.levels))


rule recovery:
    input:
        collect("<results>/recovery/{assay}.html", assay=study.assays),


rule spike:
    input:
        nothing,
    output:
        images=temp(directory("<results>/recovery/{assay}/images")),
        spiked="<results>/recovery/{assay}/spiked.parquet",
    log:
        "<logs>/recovery/{assay}.spike.log",
    benchmark:
        "<benchmarks>/recovery/{assay}.spike.tsv"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
    params:
        settings=settings("spike", of="assay"),
        base=str(study.base),
        images=digests_of_healthy,
        code=code("spike"),
    shell:
        "ctcascade spike --settings {params.settings:q} --base {params.base:q} --images {output.images:q}"
        " --spiked {output.spiked:q} 2> {log:q}"


rule call_spiked:
    input:
        rules.spike.output.images,
    output:
        frames=temp("<results>/recovery/{assay}/level_{level}.frames.parquet"),
        cells=temp("<results>/recovery/{assay}/level_{level}.cells.parquet"),
        calls="<results>/recovery/{assay}/level_{level}.calls.parquet",
    log:
        "<logs>/recovery/{assay}.level_{level}.log",
    benchmark:
        "<benchmarks>/recovery/{assay}.level_{level}.tsv"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
    params:
        detect=settings("detect", of="assay"),
        classify=settings("classify", of="assay"),
        code=code("detect", "classify"),
    shell:
        "ctcascade detect --settings {params.detect:q} --base {input:q}/level_{wildcards.level}"
        " --frames {output.frames:q} --cells {output.cells:q} 2> {log:q}"
        " && ctcascade classify --settings {params.classify:q} --frames {output.frames:q} --cells {output.cells:q}"
        " --out {output.calls:q} 2>> {log:q}"


rule fit_recovery:
    input:
        spiked=rules.spike.output.spiked,
        calls=collect(rules.call_spiked.output.calls, level=LEVELS, allow_missing=True),
    output:
        found="<results>/recovery/{assay}.json",
        assay="<results>/recovery/{assay}_spiked.yaml",
    log:
        "<logs>/recovery/{assay}.fit.log",
    benchmark:
        "<benchmarks>/recovery/{assay}.fit.tsv"
    params:
        settings=settings("recovery", of="assay"),
        code=code("recovery"),
    shell:
        "ctcascade recovery --settings {params.settings:q} --spiked {input.spiked:q} --calls {input.calls:q}"
        " --out {output.found:q} --out-assay {output.assay:q} 2> {log:q}"


rule report_recovery:
    input:
        rules.fit_recovery.output.found,
    output:
        report(
            "<results>/recovery/{assay}.html",
            caption="../report/recovery.rst",
            category="Recovery",
            labels={"assay": "{assay}"},
        ),
    log:
        "<logs>/recovery/{assay}.report.log",
    benchmark:
        "<benchmarks>/recovery/{assay}.report.tsv"
    params:
        settings=json.dumps({}),
        code=code("report"),
    shell:
        "ctcascade report recovery --settings {params.settings:q} --recovery {input:q} --out {output:q} 2> {log:q}"
