# Beside the flow: analytical validation of each assay, from the laboratory's tubes of known content (healthy donors,
# spiked blood, controls), and from in-silico tubes for what these cannot say.


rule validation:
    input:
        collect("<results>/validation/{assay}.html", assay=study.assays),


rule replicates:
    input:
        nothing,
    output:
        images=temp(directory("<results>/validation/in_silico/{assay}.images")),
        tubes="<results>/validation/in_silico/{assay}.json",
    log:
        "<logs>/validation/{assay}.replicates.log",
    benchmark:
        "<benchmarks>/validation/{assay}.replicates.tsv"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
    params:
        settings=settings("replicates", of="assay"),
        base=str(study.base),
        images=digests_of_healthy,
        code=code("replicates"),
    shell:
        "ctcascade replicates --settings {params.settings:q} --base {params.base:q} --images {output.images:q}"
        " --out {output.tubes:q} 2> {log:q}"


# A command line cannot hold the names of all results once there are some hundred tubes.
rule list_known:
    input:
        template=ARGUMENTS,
        counts=lambda wildcards: of_samples("counts", study.known_of(wildcards.assay)),
    output:
        temp("<results>/validation/{assay}.args"),
    log:
        "<logs>/validation/{assay}.list.log",
    params:
        settings=settings("validation", of="assay"),
        code=code("validation"),
    template_engine:
        "jinja2"


rule validate_assay:
    input:
        listed=rules.list_known.output,
        replicates=rules.replicates.output.tubes,
    output:
        found="<results>/validation/{assay}.json",
        assay="<results>/validation/{assay}_validated.yaml",
    log:
        "<logs>/validation/{assay}.log",
    benchmark:
        "<benchmarks>/validation/{assay}.tsv"
    params:
        settings=settings("validation", of="assay"),
        code=code("validation"),
    shell:
        "ctcascade validation @{input.listed:q} --replicates {input.replicates:q} --out {output.found:q}"
        " --out-assay {output.assay:q} 2> {log:q}"


rule report_validation:
    input:
        rules.validate_assay.output.found,
    output:
        report(
            "<results>/validation/{assay}.html",
            caption="../report/validation.rst",
            category="Validation",
            labels={"assay": "{assay}"},
        ),
    log:
        "<logs>/validation/{assay}.report.log",
    benchmark:
        "<benchmarks>/validation/{assay}.report.tsv"
    params:
        settings=json.dumps({}),
        code=code("report"),
    shell:
        "ctcascade report validation --settings {params.settings:q} --validation {input:q} --out {output:q} 2> {log:q}"
